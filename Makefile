# make book   executes every chapter and builds the HTML; make test checks everything.
# Python 3.11 or newer and PyPI are all that is needed; what is executed is stated in workflow.yml.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
PROFILE ?= profiles/local
BIN := $(abspath $(VENV))/bin
READY := $(VENV)/.companion-ready
RUN := PATH="$(BIN):$$PATH"
WORKFLOW = $(RUN) snakemake --nolock --profile $(call quoted,$(PROFILE))

# What a person gives reaches the shell as one quoted word and Snakemake as YAML text.
quoted = '$(subst ','\'',$(1))'
text = "$(subst ",\",$(subst \,\\,$(value $(1))))"
comma := ,
given = $(if $(value $(1)),$(2): $(call text,$(1))$(comma) )

# DATASETS="a b" CHAPTERS="01-data 03-agreement" SEEDS=3 SEED=0 K=20 ENCODER=minilm FIELDS=title,brand SPLIT=random DEVICE=auto override workflow.yml;
# FULL=1 chooses its larger parameters.
PARAMETERS = $(call given,SPLIT,split)$(call given,SEED,seed)$(call given,SEEDS,seeds)$(call given,K,k)$(call given,ENCODER,encoder)$(call given,FIELDS,fields)$(call given,DEVICE,device)
CONFIG = $(if $(value DATASETS),$(call quoted,datasets=[$(call text,DATASETS)])) \
	$(if $(value CHAPTERS),$(call quoted,chapters=[$(call text,CHAPTERS)])) \
	$(if $(PARAMETERS),$(call quoted,parameters={$(PARAMETERS)})) $(if $(filter-out 0,$(FULL)),edition=full)
$(if $(filter-out 0 1,$(FULL)),$(error FULL=$(FULL) was given; give 1 for the full edition, or 0))
OVERRIDES = $(if $(strip $(CONFIG)),--config $(CONFIG))
# DATASETS for a command that reads them as words
NAMES = $(if $(value DATASETS),$(call quoted,$(value DATASETS)))

.PHONY: help book chapters fits plan html links test validate lint bench trust compare publish archive pdf cache clean distclean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# The environment, once: an interrupted installation goes on where it was.
$(READY): requirements.lock requirements-nodeps.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python %d.%d was found and 3.11 or newer is needed: run make with PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@echo "Installing what requirements.lock names into $(VENV): once, some minutes"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --no-compile -r requirements.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile --no-deps -r requirements-nodeps.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@

# A build that failed or was killed is forgotten: its warnings come again, and no page is half one.
define html
	@test ! -e _build/unfinished || rm -rf _build/.doctrees _build/html
	@touch _build/unfinished
	@$(BIN)/jupyter-book build _build/site --path-output . --quiet -W -n --keep-going >/dev/null
	@rm _build/unfinished
	@echo "The book: file://$(CURDIR)/_build/html/index.html"
endef

book: chapters ## execute all chapters (DATASETS, SEEDS, K, DEVICE, ... from workflow.yml) and build the HTML
	@$(BIN)/python -m companion stage --fresh >/dev/null
	$(html)

chapters: fits ## execute all chapters, under _build/executed
	@$(WORKFLOW) $(OVERRIDES)

fits: $(READY) ## train what the chapters read, and no more
	@$(WORKFLOW) fits $(OVERRIDES)

plan: $(READY) ## say what make book will take: fits, chapters, minutes, memory and disk
	@$(WORKFLOW) plan --quiet all $(OVERRIDES)

html: $(READY) ## build the HTML from the published chapters in executed/
	@$(BIN)/python -m companion stage >/dev/null
	$(html)

links: $(READY) ## check the external links of the published book
	@$(BIN)/python -m companion stage >/dev/null
	@$(BIN)/jupyter-book build _build/site --path-output . --builder linkcheck --quiet

lint: $(READY) ## ruff, mypy, and which module may import which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

test: $(READY) ## lint, types, a strict build of the book, pytest, and nbval over published ml-100k chapters
	@$(MAKE) --no-print-directory --jobs=2 lint html
	@checked="$$($(BIN)/python -m companion checked)"; \
	$(WORKFLOW) fits --config edition=full chapters="$$checked"; \
	$(RUN) OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile --no-loadscope-reorder --nbval-lax \
		--nbval-current-env --nbval-cell-timeout=1200 tests $$(printf 'executed/ml-100k/%s.ipynb ' $$checked)

validate: $(READY) ## nbval over all published chapters of DATASETS (ml-100k)
	@$(RUN) OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile --nbval-lax --nbval-current-env \
		--nbval-cell-timeout=3600 $(foreach name,$(or $(value DATASETS),ml-100k),$(call quoted,executed/$(name)))

bench: $(READY) ## measure speed and memory
	@$(BIN)/python -m bench

trust: $(READY) ## kill, damage and spoil in earnest: hours
	@$(RUN) TRUST_INPUTS=20000 TRUST_KILLS=10 pytest tests/hardening

compare: $(READY) ## does what was executed say what is published, finding by finding? (DATASETS)
	@$(BIN)/python -m companion compare $(NAMES)

publish: $(READY) ## copy what was executed for DATASETS to executed/, to be committed
	@$(BIN)/python -m companion publish $(NAMES)

archive: $(READY) ## keep what is published in _build/archive.zip, an RO-Crate to be deposited and cited
	@$(BIN)/python -m companion archive

pdf: $(READY) ## print the parts of DATASETS in the built book as _build/NAME.pdf; needs Chromium
	@$(BIN)/python -m companion pdf $(NAMES)

cache: $(READY) ## what is cached, where, and how big it is
	@$(BIN)/python -m companion cache

clean: ## remove what was executed and built; the cache and .venv stay
	@rm -rf _build .snakemake

distclean: clean ## remove .venv too
	@rm -rf .venv
