"""What works on anyone's vectors and ranked lists: views, metrics, diagnostics, fusion, verdicts.

``Dataset`` → ``View`` → lists of items → one value per user → ``Estimate``. The names below are
loaded at their first use, so that importing the package costs nothing; everything else is in the
modules (``from lib import topk``).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lib.claims import judge
    from lib.core import InputError
    from lib.dataset import Dataset
    from lib.diagnostics import (
        best_of_union,
        complementary,
        composition,
        hit_popularity,
        jaccard,
        neighbourhood_preservation,
        oracle,
    )
    from lib.fusion import choose_weights, comb_sum, concat, rrf
    from lib.metrics import hits, ndcg, recall
    from lib.stats import Estimate, holm, paired, ratio, summary
    from lib.topk import TopK
    from lib.views import View, fit, lists, models

__version__ = "0.1.0"

__all__ = [
    "Dataset", "Estimate", "InputError", "TopK", "View", "best_of_union", "choose_weights",
    "comb_sum", "complementary", "composition", "concat", "fit", "hit_popularity", "hits", "holm",
    "jaccard", "judge", "lists", "models", "ndcg", "neighbourhood_preservation", "oracle",
    "paired", "ratio", "recall", "rrf", "summary",
]  # fmt: skip

_NAMES = {
    "claims": "judge",
    "core": "InputError",
    "dataset": "Dataset",
    "diagnostics": "best_of_union complementary composition hit_popularity jaccard "
    "neighbourhood_preservation oracle",
    "fusion": "choose_weights comb_sum concat rrf",
    "metrics": "hits ndcg recall",
    "stats": "Estimate holm paired ratio summary",
    "topk": "TopK",
    "views": "View fit lists models",
}
_MODULE = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'lib' has no attribute {name!r}")
    return getattr(import_module(f"lib.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
