"""The choices of protocol in which this project and the paper's reference code part, as data.

Each is one of the weak points that were read in the reference code. ``studies.ch13_effects``
measures the findings under either side of a choice, everything else being ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LISTS = ("F1", "F2", "F3", "F3b", "F4", "F5", "F8", "F9")
"""Findings that lists decide."""

FINDINGS = ("F1", "F2", "F3", "F3b", "F4", "F5", "F6", "F8", "F9")
"""Findings that a choice may touch, in the order of the book.

F8 stands for the fusion's gain over the collaborative view, not over an alignment.
"""


SHORT = {
    "F1": "recall\nratio", "F2": "Jaccard", "F3": "one view's\nhits", "F3b": "balance\nof hits",
    "F4": "popularity\ngap", "F5": "oracle\ngain", "F6": "reached\nof R²", "F8": "fusion's\ngain",
    "F9": "tail minus\nhot gain",
}  # fmt: skip
"""What each finding's number is, for the head of a column."""


@dataclass(frozen=True)
class Choice:
    """One choice of protocol.

    ``ours`` and ``reference`` say what either does, ``how`` how the reference's is brought about
    here, ``findings`` what it can touch. ``linear`` and ``lightgcn`` are the settings
    (``lib.encoders.training.Recipe``) under which the two views are trained anew; ``fits`` says
    whether the choice needs any model beside the plain ones, so that it can be left out, and
    ``one_seed`` whether it is measured on the first seed only.
    """

    number: int
    name: str
    ours: str
    reference: str
    how: str
    findings: tuple[str, ...] = FINDINGS
    fits: bool = False
    one_seed: bool = False
    linear: Mapping[str, Any] = field(default_factory=dict)
    lightgcn: Mapping[str, Any] = field(default_factory=dict)


_SELECT = {"select": "ndcg", "every": 5, "patience": 3}
_EXCLUDED = {"excluded": "positive"}
_FIRST = {"first_negative": 1}

JOINT = {"dimension": 128, "negatives": 512, "hardest": 256}
"""The reference's budget for the jointly trained fusion; batch, rate and temperature are ours."""

HALVES = {"dimension": 128}
"""A joint model each of whose halves is as wide as a view."""

CHOICES = (
    Choice(
        1, "masking at test",
        ours="training and validation items are never recommended",
        reference="in some scripts only training items are left out",
        how="the same views, lists that may hold validation items",
        findings=LISTS,
    ),
    Choice(
        2, "model selection",
        ours="Recall@20 on validation items after every epoch, patience five, for every model",
        reference="NDCG@20 or Recall@20, every epoch or every fifth, patience three to ten",
        how="both views trained anew, selected by NDCG@20 every fifth epoch with patience three",
        fits=True, one_seed=True, linear=_SELECT, lightgcn=_SELECT,
    ),
    Choice(
        3, "unequal budgets",
        ours="one width, loss and number of negatives for all models",
        reference="LightGCN by BPR, the fusion twice as wide, with InfoNCE and hard negatives",
        how="LightGCN by BPR as the collaborative view, and a joint model of 128 dimensions with "
        "the hardest 256 of 512 pooled negatives as the fusion; ours has the joint model as well",
        fits=True, one_seed=True,
    ),
    Choice(
        4, "known items as negatives",
        ours="a user's known items are never its negatives",
        reference="only the positive at hand is never a negative",
        how="both views trained anew",
        fits=True, one_seed=True, linear=_EXCLUDED, lightgcn=_EXCLUDED,
    ),
    Choice(
        5, "the first item",
        ours="no item is reserved",
        reference="item id zero is a real item, but never a negative, and masked in one script",
        how="both views trained anew without it as a negative, and lists that never hold it",
        fits=True, one_seed=True, linear=_FIRST, lightgcn=_FIRST,
    ),
    Choice(
        6, "own text in the profile",
        ours="a user's text leaves out the item that is being learned",
        reference="a user's text includes it",
        how="the semantic view trained anew",
        fits=True, one_seed=True, linear={"own_text": True},
    ),
    Choice(
        7, "what popularity counts",
        ours="training interactions; strata by rank",
        reference="all interactions, test items included; strata by quantile, ties and all",
        how="the same lists, other counts",
        findings=("F4", "F9"),
    ),
    Choice(
        8, "halves of one model",
        ours="two views trained apart",
        reference="in the stratified tables, the two halves of one jointly trained model",
        how="the halves of a joint model of 128 dimensions; the fusion is the model itself",
        findings=LISTS, fits=True, one_seed=True,
    ),
    Choice(
        9, "concatenation or mean",
        ours="the mean of the two cosines",
        reference="norm-concat-norm, trained or not: the same scores by another name",
        how="both computed from the same views",
        findings=("F8", "F9"), one_seed=True,
    ),
    Choice(
        10, "an oracle with more items",
        ours="the better view may have as many items as the union",
        reference="the union of two lists of K is held against one list of K",
        how="the better view with lists of 2K, or with lists of K",
        findings=("F5",),
    ),
    Choice(
        11, "no null",
        ours="what is beyond a second seed of the collaborative model; full rule",
        reference="the number as it is; the first part of the rule alone",
        how="the same number minus that of two LightGCN seeds",
        findings=("F2", "F3", "F5"),
    ),
    Choice(
        12, "probes without validation",
        ours="ridge, its penalty chosen on validation items",
        reference="a map by gradient descent for a fixed number of epochs",
        how="the reference's linear map, on the same training items",
        findings=("F6",),
    ),
    Choice(
        13, "one seed",
        ours="the mean over seeds",
        reference="one seed, no interval",
        how="the seed that lies farthest from the mean",
    ),
)  # fmt: skip
