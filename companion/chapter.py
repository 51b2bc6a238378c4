"""What every chapter does: check its parameters, judge its claims, show results, sign off."""

import ast
import base64
import contextlib
import importlib.metadata
import math
import os
import platform
import resource
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML, display

from companion import site, testable
from companion.data import load
from companion.execute import refuse_out_of_bounds, refuse_unknown
from companion.markup import markup
from companion.scoreboard import MARKS, OLDER, RECORD, number
from lib import claims
from lib.core import InputError, device_of
from lib.dataset import Dataset
from lib.stats import Estimate, summary

STANDARD: dict[str, type] = {
    "dataset": str, "split": str, "seed": int, "seeds": int, "k": int, "encoder": str,
    "fields": str, "device": str,
}  # fmt: skip
PACKAGES = ("torch", "numpy", "scipy", "pandas", "scikit-learn", "sentence-transformers")


@dataclass(frozen=True)
class Page:
    """A chapter's page in the making: its name, its checked parameters, and its dataset."""

    chapter: str
    parameters: dict[str, Any]
    started: float = field(default_factory=time.perf_counter)

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset, loaded once."""
        p = self.parameters
        return load(p["dataset"], split=p["split"], fields=p["fields"])

    def untestable(self, finding: str) -> str | None:
        """Return why a finding cannot be judged on this page, None where it can."""
        return testable.untestable(
            self.dataset, self.parameters["k"], finding, self.parameters["encoder"]
        )

    def judge(
        self,
        claim_id: str,
        measures: Mapping[str, Estimate],
        premise: Mapping[str, Estimate] | None = None,
    ) -> claims.Verdict:
        """Judge a claim, show its measures, and leave a record in the notebook.

        ``premise`` has the measures of the claim's premise (``lib.claims.outside``).
        """
        verdict = claims.judge(claim_id, measures)
        verdict = replace(verdict, outside=claims.outside(verdict.claim, premise or {}))
        reason = self.untestable(claim_id)
        off = [name for name in measures if self.parameters.get(name) is False]  # asked for none
        if off and verdict.word == claims.UNTESTABLE:
            told = f"this execution did not measure it ({off[0]} = False)"
            reason = reason or f"{told}: make's FULL=1 or papermill's -p {off[0]} true does"
        if reason:
            verdict = replace(verdict, word=claims.UNTESTABLE, unmet=(), note=reason, outside="")
        # lists, not a dictionary: two measures may be described in the same words
        words = [verdict.claim.measures[name] for name in measures]
        values = [number(verdict.claim, *named) or "–" for named in measures.items()]
        table = pd.Series(values, index=words, name=verdict.claim.unit).to_frame()
        record = {
            "claim": claim_id,
            "chapter": self.chapter,
            "dataset": self.dataset.name,
            "parameters": self.parameters,
            "verdict": verdict.word,
            "reason": verdict.reason,
            "outside": verdict.outside,
            "measures": numbers(measures),
        }
        bundle = {"text/plain": table.to_string(), "text/html": table.to_html(), RECORD: record}
        display(bundle, raw=True)  # type: ignore[no-untyped-call]
        return verdict


def begin(chapter: str, namespace: Mapping[str, Any], **extra: type) -> Page:
    """Check a notebook's parameters and return its page.

    ``chapter`` is the notebook's name, such as "03-agreement"; ``namespace`` its ``globals()``, in
    the first cell after the parameters; ``extra`` further parameters by name and type. Where none
    of the chapter's findings can be judged on the data, the page says so and ends here.
    """
    accepted = STANDARD | extra
    refuse_unknown(chapter, _assigned(namespace), accepted)
    p: dict[str, Any] = {name: namespace.get(name, OLDER.get(name)) for name in accepted}
    for name, kind in accepted.items():
        if type(p[name]) is not kind:
            raise InputError(f"{name} = {p[name]!r} was given; it must be of type {kind.__name__}")
    device_of(p["device"])
    refuse_out_of_bounds(p)
    page = Page(chapter, p)
    testable.refuse_long_lists(page.dataset, p["k"])
    wanted = testable.needed(chapter)
    if wanted and all(map(page.untestable, wanted)):
        _end(page, wanted)
    return page


def _end(page: Page, wanted: Sequence[str]) -> None:
    """Show why none of the findings can be judged, and end the notebook without a failure."""
    shown = [stands_for(page), HTML(markup("ended", page.untestable(wanted[0])))]
    for claim in (claims.load()[finding] for finding in wanted):
        display(*shown, claim_box(claim.id))  # type: ignore[no-untyped-call]
        shown = []
        if claim.chapter == page.chapter:
            nothing = Estimate(math.nan, math.nan, math.nan, 0)
            shown = [verdict_box(page.judge(claim.id, dict.fromkeys(claim.measures, nothing)))]
    display(*shown, colophon(page))  # type: ignore[no-untyped-call]
    warnings.filterwarnings("ignore", message="To exit: use")  # IPython's
    raise SystemExit(0)  # which papermill takes for the end of a notebook


def _assigned(namespace: Mapping[str, Any]) -> set[str]:
    """Return the names that the cell right before this one assigns, in a kernel; elsewhere all.

    There papermill puts the parameters of a run. A cell with anything but assignments is no cell of
    parameters, so that results of an earlier run in the same kernel are none.
    """
    if "In" not in namespace:
        return set(namespace)
    with contextlib.suppress(SyntaxError, IndexError):  # nbval keeps no history
        statements = ast.parse(namespace["In"][-2]).body
        assignments = [s for s in statements if isinstance(s, ast.Assign)]
        if len(assignments) == len(statements):
            return {ast.unparse(target) for s in assignments for target in s.targets}
    return set()


def numbers(measures: Mapping[str, Estimate]) -> dict[str, list[float | None]]:
    """Return measures for machines to read, as JSON, which has no NaN: null stands for it."""
    return {n: [None if math.isnan(x) else float(x) for x in of] for n, of in measures.items()}


def interval(value: Estimate) -> str:
    """Return an estimate as "mean [low, high]"; a dash where there is none."""
    bounds = f"[{value.low:.4f}, {value.high:.4f}]"
    return "–" if math.isnan(value.mean) else f"{value.mean:.4f} {bounds}"


def intervals(table: pd.DataFrame, name: str = "mean") -> list[str]:
    """Return each row's ``interval``, of mean, low and high or of a column and its _low, _high."""
    bounds = ("low", "high") if f"{name}_low" not in table else (f"{name}_low", f"{name}_high")
    rows = table[[name, *bounds]].itertuples(index=False)
    return [interval(Estimate(mean, low, high, 0)) for mean, low, high in rows]


def side_by_side(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return a tidy table as a row per ``what`` and a column per ``level``, with ``intervals``."""
    cells = table.assign(cell=intervals(table)).pivot(index="what", columns="level", values="cell")
    cells = cells.loc[table["what"].unique(), table["level"].unique()].fillna("–")
    return cells.rename_axis(None).rename_axis(columns=label)


def estimates(rows: Mapping[str, np.ndarray], k: int) -> pd.DataFrame:
    """Return a tidy table of per-user values summarised: what, k, mean, low, high, n."""
    return pd.DataFrame(
        {"what": name, "k": k, **summary(values)._asdict()} for name, values in rows.items()
    )


def claim_box(*ids: str) -> HTML:
    """Return what the paper says: finding, its numbers, our rule and the null, for each claim."""
    return HTML(markup("claim_boxes", [claims.load()[name] for name in ids]))


def verdict_box(verdict: claims.Verdict) -> HTML:
    """Return the verdict in words; it holds no number, so it reads the same on every machine."""
    style, mark, _ = MARKS[verdict.word]
    return HTML(markup("verdict_box", verdict, style, mark))


def download(table: pd.DataFrame, name: str) -> HTML:
    """Return a link that holds the table as CSV: the data behind a figure."""
    body = base64.b64encode(table.to_csv(index=False).encode()).decode()
    return HTML(markup("download", name, body, len(table)))


def stands_for(page: Page) -> HTML:
    """Return one line on what data and text this page speaks of, and what they stand in for."""
    return HTML(markup("stands_for", page.dataset, page.parameters))


def card_table(page: Page) -> str:
    """Return a dataset's card as an HTML table: origin, licence, counts, digests, what is cut."""
    p, card = page.parameters, dict(page.dataset.card)
    card |= {"seed": str(card["seed"])} if "seed" in card else {}  # a name, and no amount
    if cut := testable.cut_texts(page.dataset, p["encoder"]):
        card["encoder"] = cut
    if left_out := testable.reasons(page.dataset, p["k"], p["encoder"]):
        card["not_testable_here"] = {", ".join(ids): why for why, ids in left_out.items()}
    return markup("facts", "Data card", {n.replace("_", " "): v for n, v in card.items()})


def colophon(page: Page) -> HTML:
    """Return how this page was made: parameters, versions, device, seconds and memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    rows = dict(page.parameters)
    if "device" in rows:
        rows["device used"] = str(device_of(rows["device"]))
    if "dataset" in rows:  # else a page about several, or about none
        rows["dataset digest"] = page.dataset.digest[:16]
    rows |= {
        "commit": site.git(*site.COMMIT) or "not in a clone",
        "seconds": f"{time.perf_counter() - page.started:.0f}",
        "peak memory": f"{peak / 2**30:.1f} GiB",
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }
    words = {name: str(value) for name, value in rows.items()}
    return HTML(markup("facts", "How this page was made", words))
