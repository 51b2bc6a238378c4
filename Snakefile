"""Chapters × datasets. What is fitted and executed, and with which parameters: workflow.yml."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from companion.execute import checked, literal, parts, values_of, variant, words
from companion.site import chapters
from lib.core import InputError


configfile: "workflow.yml"


# Snakemake's own lock outlives a run that was killed, and then refuses the next one; the operating
# system releases this one. Jobs of a cluster read this file too, while the first process holds it.
LOCK = FileLock(".snakemake/companion.lock")
if workflow.is_main_process and not workflow.dryrun:
    try:
        LOCK.acquire(blocking=False)
    except Timeout:
        sys.exit(f"another run is at work in {Path.cwd()}: wait for it or end it, then run again")

try:
    # By the folder of its part: a dataset, perhaps with parameters that differ from the others'.
    DATASETS = parts(config["datasets"])
    CHAPTERS = words(config.get("chapters", []))
except InputError as error:
    sys.exit(str(error))
KNOWN = chapters(Path())
CHAPTERS = CHAPTERS or KNOWN
if unknown := sorted(set(CHAPTERS) - set(KNOWN)):
    sys.exit(f"there is no chapter {unknown[0]}: choose from {', '.join(KNOWN)}")
# What comes from a command line is text, also numbers.
PARAMETERS = {name: literal(str(value), name) for name, value in config["parameters"].items()}
TYPED = {name: PARAMETERS[name] for name in workflow.config_settings.config.get("parameters", {})}
FITS = config["fits"]
GIVEN = config.get("given", {})
# workflow.yml's parameters of single chapters: edition=full, make's FULL=1, chooses the larger ones.
EDITION = config.get(config.get("edition", "short")) or {}
EXECUTED = "_build/executed"
# How long each job took and how much memory, measured while it ran.
COSTS = "_build/costs"
# A chapter's job outputs a stamp, not the notebook: Snakemake deletes a failed job's output, and the
# last good notebook should stay.
DONE = "_build/done"

# Stands for all files of the packages, which Snakemake would otherwise look at for every waiting job
# each time that one ends; it is written only when their content changed.
LIBRARY = "_build/library.sha256"


def write_library():
    """Write the digest of the packages' files, unless it is there."""
    packages = ("lib", "companion", "studies")
    kinds = (".py", ".html", ".yml")  # what chapters read while they run
    paths = [p for package in packages for p in Path(package).rglob("*.*") if p.suffix in kinds]
    sources = {str(path): path.read_text(encoding="utf-8") for path in paths}
    now = hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()
    stamp = Path(LIBRARY)
    if not stamp.is_file() or stamp.read_text() != now:
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(now)


write_library()

device = str(PARAMETERS["device"])
CUDA = device.startswith("cuda") or (device == "auto" and shutil.which("nvidia-smi") is not None)


def stated(rule_name):
    """The resources that workflow.yml states for a rule; no GPU where none is used."""
    needs = dict(config["resources"][rule_name])
    needs["gpu"] = needs["gpu"] if CUDA else 0
    return needs


def parameters(part, chapter=None):
    """The parameters of one part of the book, or of a chapter in it."""
    dataset, own = variant(DATASETS[part])
    of_chapter = EDITION.get(chapter, {}) | GIVEN.get(dataset, {}).get(chapter, {})
    return PARAMETERS | of_chapter | TYPED | own


for part, name in DATASETS.items():
    for chapter in CHAPTERS:
        given = {"dataset": variant(name)[0]} | parameters(part, chapter)
        try:
            checked(Path("chapters", f"{chapter}.ipynb"), given)
        except InputError as error:
            sys.exit(f"{name}: {error}")


def options(values):
    """The words that give a command these parameters; rules quote them for the shell (:q)."""
    return [word for name, value in values.items() for word in ("-p", name, str(value))]


def counted(models, given):
    """Yield each model with its number of seeds: stated, or the chapter's parameter of that name."""
    seeds = given["seeds"]
    numbers = {"seeds": seeds, "others": min(seeds, given.get("others", seeds))}
    for model, count in models.items():
        if model.startswith("if "):
            if given.get(model.removeprefix("if "), True):
                yield from counted(count, given)
        else:
            yield model, numbers.get(count, count)


def fits_of(part):
    """The fits that the chapters read, each with its seed and settings: MODEL@seed=0,NAME=VALUE."""
    found = {}
    for chapter in CHAPTERS:
        own = values_of(Path("chapters", f"{chapter}.ipynb"))
        given = {n: literal(code) for n, code in own.items()} | parameters(part, chapter)
        for name, count in counted(FITS.get(chapter, {}), given):
            model, at, settings = name.partition("@")
            for seed in range(given["seed"], given["seed"] + count):
                found[f"{model}@seed={seed}" + (at and f",{settings}")] = None
    return list(found)


def workers(part):
    """The jobs that share a dataset's fits: as many as this machine has cores, or one for its GPU.

    On a cluster, as many as workflow.yml states, so that many short fits travel in one job.
    """
    here = 1 if CUDA else max(1, (workflow.resource_settings.cores or 1) // FIT["threads"])
    most = FIT["workers"] if workflow.resource_settings.nodes else here
    return [f"_build/fits/{part}/{number}" for number in range(min(most, len(fits_of(part))))]


def scoreboard():
    """The page over all datasets, where the book has one."""
    return [f"{DONE}/scoreboard"] if Path("chapters/scoreboard.ipynb").exists() else []


for stamp in Path(DONE).rglob("*"):
    if stamp.is_file() and not Path(EXECUTED, f"{stamp.relative_to(DONE)}.ipynb").exists():
        stamp.unlink()


FIT, CHAPTER = stated("fit"), stated("chapter")


wildcard_constraints:
    dataset="[^/]+",
    chapter="[0-9][^/]*",
    worker="[0-9]+",


localrules:
    all,
    fits,
    plan,


rule all:
    input:
        expand(f"{DONE}/{{dataset}}/{{chapter}}", dataset=DATASETS, chapter=CHAPTERS),
        scoreboard(),


# Runs before the chapters, in a run of its own: a chapter needs its fits, whoever made them, but it
# must not run again whenever a worker did.
rule fits:
    input:
        [worker for dataset in DATASETS for worker in workers(dataset)],


rule plan:
    params:
        jobs=json.dumps(
            {
                part: {"dataset": variant(name)[0], "fits": fits_of(part), "chapters": CHAPTERS}
                for part, name in DATASETS.items()
            }
        ),
        workers=workflow.resource_settings.nodes or workflow.resource_settings.cores,
    shell:
        "python -m companion plan {params.jobs:q} {params.workers:q}"


rule fit:
    input:
        LIBRARY,
    output:
        touch("_build/fits/{dataset}/{worker}"),
    params:
        name=lambda wildcards: variant(DATASETS[wildcards.dataset])[0],
        split=lambda wildcards: parameters(wildcards.dataset)["split"],
        encoder=lambda wildcards: parameters(wildcards.dataset)["encoder"],
        fields=lambda wildcards: parameters(wildcards.dataset)["fields"],
        device=lambda wildcards: parameters(wildcards.dataset)["device"],
        fits=lambda wildcards: fits_of(wildcards.dataset),
    threads: FIT["threads"]
    resources:
        mem_mb=FIT["mem_mb"],
        runtime=FIT["runtime"],
        gpu=FIT["gpu"],
    shell:
        "python -m companion fits {params.name:q} {params.fits:q} --split {params.split:q}"
        " --fields {params.fields:q} -p encoder {params.encoder:q} -p device {params.device:q}"


rule chapter:
    input:
        LIBRARY,
        "claims.yml",
        notebook="chapters/{chapter}.ipynb",
    output:
        touch(f"{DONE}/{{dataset}}/{{chapter}}"),
    benchmark:
        f"{COSTS}/{{dataset}}/{{chapter}}.tsv"
    params:
        out=f"{EXECUTED}/{{dataset}}/{{chapter}}.ipynb",
        name=lambda wildcards: DATASETS[wildcards.dataset],
        options=lambda wildcards: options(parameters(wildcards.dataset, wildcards.chapter)),
    threads: CHAPTER["threads"]
    resources:
        mem_mb=CHAPTER["mem_mb"],
        runtime=CHAPTER["runtime"],
        gpu=CHAPTER["gpu"],
    shell:
        "python -m companion execute {input.notebook:q} {params.name:q} {params.options:q} --out {params.out:q}"


rule scoreboard:
    input:
        expand(f"{DONE}/{{dataset}}/{{chapter}}", dataset=DATASETS, chapter=CHAPTERS),
        LIBRARY,
        sorted(str(path) for path in Path("executed").glob("*/*.ipynb")),
        "claims.yml",
        notebook="chapters/scoreboard.ipynb",
    output:
        touch(f"{DONE}/scoreboard"),
    params:
        out=f"{EXECUTED}/scoreboard.ipynb",
    threads: 1
    resources:
        mem_mb=CHAPTER["mem_mb"],
        runtime=10,
    shell:
        "python -m companion execute {input.notebook:q} --out {params.out:q}"
