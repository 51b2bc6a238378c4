"""How strong must the text be? A ladder of text views, each beside the same collaborative view.

A rung is an encoder with fields of the items, or the run's own text vectors with noise. LightGCN
reads no text, and is the same beside every rung.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from torch.nn.functional import normalize

from companion.data import load
from lib.core import InputError, generator
from lib.dataset import Dataset
from lib.encoders import text
from lib.stats import Estimate
from studies import measures
from studies.ch09_long_tail import beside_lightgcn, weighted
from studies.context import Run

FIELDS = ("title", "title,categories", "all")
NOISES = (1.0, 2.0, 4.0)  # lengths of an item's noise, in lengths of its text vector
PAPER = 1.03  # F1's ratio on the paper's Movies
NULL = ("LightGCN, another seed", "no text")
POINT = {"ratio_low": "x_low", "ratio_high": "x_high", "seeds": "mean", "seeds_low": "low",
         "seeds_high": "high"}  # fmt: skip
"""What a figure of gain over ratio calls the columns of ``findings``."""
Name = tuple[str, str]  # an encoder, and fields or noise


def texts(run: Run, encoders: str) -> tuple[dict[Name, Run], list[str]]:
    """Return a run for every different text, and why others cannot be had.

    ``encoders`` are names with commas between them; each encodes every choice of ``FIELDS``.
    """
    p, lacking = run.parameters, []
    made: dict[str, tuple[Name, Dataset]] = {}
    names = filter(None, [run.encoder, *map(str.strip, encoders.split(","))])
    for name in product(dict.fromkeys(names), dict.fromkeys((p["fields"], *FIELDS))):
        encoder, fields = name
        try:
            own = fields == p["fields"]
            data = run.dataset if own else load(p["dataset"], split=p["split"], fields=fields)
            text.encode(data, encoder)
            made.setdefault(text.digest_of(data, encoder), (name, data))
        except InputError as fault:  # items without these fields, an encoder that is not installed
            lacking.append(str(fault))
    vectors = normalize(text.encode(run.dataset, run.encoder), dim=1).numpy()
    noise = generator(run.seeds[0], "noise on text").standard_normal(vectors.shape)
    for level in NOISES:
        noisy = (vectors + level / np.sqrt(vectors.shape[1]) * noise).astype(np.float32)
        name = f"{run.encoder} with noise", f"noise × {level:g}"
        made[name[1]] = name, replace(run.dataset, vectors=noisy)
    runs = {
        name: replace(run.learning_from(data), parameters={**p, "encoder": name[0]})
        for name, data in made.values()
    }
    return runs, list(dict.fromkeys(lacking))


def ladder(run: Run, texts: Mapping[Name, Run]) -> dict[Name, measures.Rankings]:
    """Return every text beside LightGCN, from the one that validates best to the worst."""
    views = {name: of.views("linear") for name, of in texts.items()}
    scores = {name: np.mean([v.info["validation"] for v in of]) for name, of in views.items()}
    names = sorted(texts, key=scores.__getitem__, reverse=True)
    wide = [run.lists_of(view) for view in run.views("lightgcn", dimension=128)]
    concat = weighted(run)
    return {name: beside_lightgcn(run, texts[name], concat, wide=wide) for name in names}


def findings(found: measures.Rankings) -> dict[str, float]:
    """Return F1, F2, F3, F5, and the fusion's gain over either view, two seeds and the nulls.

    Each as name, name_low and name_high.
    """
    bases = {"over_text": found.semantic, "single": found.collaborative, "seeds": found.control}
    bases |= found.nulls
    of_lists = (measures.MEASURES[finding] for finding in ("F1", "F2", "F3", "F5"))
    every = dict(next(iter(of(found).items())) for of in of_lists)  # the headline of each
    fused = found.recalls(found.fused)
    every |= measures.gains(**{name: (fused, found.recalls(of)) for name, of in bases.items()})
    return {
        f"{name}{end}": value[at]
        for name, value in measures.estimates(every).items()
        for at, end in enumerate(("", "_low", "_high"))
    }


def table(run: Run, found: Mapping[Name, measures.Rankings]) -> pd.DataFrame:
    """Return encoder, text and ``findings`` of each rung, and of another seed in its place."""
    one, second = next(iter(found.values())), run.lists_by_seed("lightgcn", second=True)
    null = replace(one, semantic=second, fused=one.control)
    rows = [findings(rung) for rung in (*found.values(), null)]
    return pd.DataFrame([*found, NULL], columns=["encoder", "text"]).join(pd.DataFrame(rows))


def answer(found: Mapping[Name, Any], gains: Mapping[str, Estimate]) -> str:
    """Return from which ratio fusion pays on this dataset, or that none is reached."""
    top, start, text = gains["strongest"], gains["threshold"], ", ".join(next(iter(found)))
    said = f"Fusion does not gain here: with the text that validates best ({text}) it"
    if top.low > 0:
        said = "By a monotone fit through all texts, fusion pays here from a ratio of "
        said += f"{start.mean:.2f} [{start.low:.2f}, {start.high:.2f}] between the recalls of text "
        said += f"and LightGCN. With the text that validates best ({text}) it"
    return f"{said} changes recall by {measures.percent(top)} against two seeds."
