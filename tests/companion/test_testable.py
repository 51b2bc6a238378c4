"""What cannot be judged on small or plain data, and how many texts an encoder cuts."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import scipy.sparse as sp

from companion import testable
from companion.data import synthetic
from lib import claims
from lib.dataset import Dataset
from lib.diagnostics import expected_jaccard

EVERY = [name for name, claim in claims.load().items() if claim.family != "theory"]


@pytest.fixture(scope="module")
def world() -> Dataset:
    """Return a world of 80 items on which every finding can be judged, but for times."""
    made = synthetic.world(n_users=120, n_items=80, seed=1).dataset
    texts = [f"text {n}" for n in range(80)]
    items = made.items.assign(text=texts)
    return replace(made, vectors=None, items=items, card=made.card | {"times": "2001 to 2002"})


def test_everything_can_be_judged_on_enough_data(world: Dataset) -> None:
    assert testable.reasons(world, 7) == {}
    timeless = replace(world, card={})
    assert testable.reasons(timeless, 7) == {"there are no times for a temporal split": ["Q3"]}
    for times, why in ((world.train * 2, "each user's times are all equal"), (None, "None")):
        assert str(testable.untestable(replace(world, times=times), 7, "Q3")).startswith(why)


def test_without_text_nothing_that_reads_it_can_be_judged(world: Dataset) -> None:
    for text, why in (("", "all items have an empty text"), ("a", "all items have the same text")):
        plain = replace(world, items=world.items.assign(text=text))
        assert testable.reasons(plain, 7) == {why: EVERY}
        assert testable.reasons(plain, 7, "vectors.npy") == {}
        assert testable.reasons(replace(plain, vectors=np.ones((80, 2), np.float32)), 7) == {}


def test_text_that_most_items_share_tells_them_not_apart(world: Dataset) -> None:
    for text, what in (("", "an empty"), ("No Description", "the same")):
        for alike, why in ((40, None), (41, f"51.2% of the items have {what} text")):
            texts = [text] * alike + [f"text {n}" for n in range(80 - alike)]
            plain = replace(world, items=world.items.assign(text=texts))
            assert testable.untestable(plain, 7, "F2") == why


def test_a_page_on_own_data_says_from_how_many_users_and_items_on() -> None:
    page = (Path(__file__).parents[2] / "pages/howto/own-data.md").read_text("utf-8")
    users = next(n for n in range(1000) if round(0.1 * n) >= testable.LEAST)
    items = next(n for n in range(1000) if round(0.2 * n) >= testable.LEAST)
    for told in (f"fewer than {testable.LEAST} users have", f"fewer than {users} users",
                 f"fewer than {items} items, because fewer than {testable.LEAST} "):  # fmt: skip
        assert told in page


def test_the_thresholds_are_those_of_their_statistics(world: Dataset) -> None:
    """A sign test after Holm's correction, and a perfect ranking against a random one."""
    needed = 0.05 / len(claims.load())
    assert 2 * 0.5**testable.LEAST <= needed < 2 * 0.5 ** (testable.LEAST - 1)
    for n, k in ((40, 20), (80, 40), (1000, 500)):
        assert expected_jaccard(k, n) == pytest.approx(1 / 3, abs=0.01)
    for users, blind in ((16, False), (15, True)):  # p = 20 / 25: 0.2 n against 1.96 · 0.4 √n
        one, none = sp.csr_matrix(np.eye(users, 25)), sp.csr_matrix((users, 25))
        lean = SimpleNamespace(n_items=25, train=none, valid=one)
        assert testable.blind(cast(Dataset, lean)) is blind


def test_few_users_and_a_selection_at_its_ceiling(world: Dataset) -> None:
    few = testable.LEAST - 1
    parts = {name: getattr(world, name)[:few] for name in ("train", "valid", "test")}
    (why,) = testable.reasons(replace(world, **parts), 20)
    least = f"with fewer than {testable.LEAST} no difference is significant"
    assert why == f"{few} users with a test item: {least}"
    small = synthetic.world(n_users=60, n_items=30, interactions=12, seed=1).dataset
    ((why, findings),) = testable.reasons(small, 3).items()
    assert "of 30 items a list of 20 holds nearly all" in why and findings == EVERY


def test_lists_that_hold_half_of_what_can_be_recommended(world: Dataset) -> None:
    left = int(np.median(80 - world.seen.getnnz(axis=1)))
    assert testable.untestable(world, left // 2, "F2") is None
    assert "give a smaller k" in str(testable.untestable(world, left // 2 + 1, "F2"))
    assert testable.untestable(world, 60, "F6") is None  # of vectors
    assert testable.untestable(world, 80, "F12") is None  # simulated
    (why,) = testable.reasons(world, 8)
    assert why == "a tenth of the 80 items is taken from training, and lists of 8 hold it all"


def test_items_that_are_equally_popular_are_neither_cold_nor_hot(world: Dataset) -> None:
    rows = [[(u + 3 * n) % 80 for n in range(15)] for u in range(80)]
    flat = sp.csr_matrix((np.ones(1200), np.ravel(rows), np.arange(0, 1201, 15)), shape=(80, 80))
    one = sp.csr_matrix(np.roll(np.eye(80), -1, axis=1))
    found = testable.reasons(replace(world, train=flat, valid=one, test=one), 7)
    why = "cold and hot items have equally many interactions"
    few = testable.few("users in each group that is cut, a tenth of all", 8)
    assert found == {few: ["F11"], why: ["F4", "F7b", "F9", "F9b"]}


def test_texts_that_are_longer_than_the_encoder_reads_are_counted(world: Dataset) -> None:
    texts = ["word " * 254, "word " * 255, "x" * 5000, *["short"] * 77]
    told = testable.cut_texts(replace(world, items=world.items.assign(text=texts)))
    # 254 words and the two ends fit; one long word is one unknown token
    assert told == "texts longer than the encoder's 256 tokens, and cut: 1"
    korean = ["\uac01 " * 90, "\uac01 " * 80, *["short"] * 78]  # a syllable is three tokens
    told = testable.cut_texts(replace(world, items=world.items.assign(text=korean)))
    assert told == "texts longer than the encoder's 256 tokens, and cut: 1"
    assert testable.cut_texts(world, "a-model-that-is-not-here") is None


def test_the_chapters_that_need_a_finding() -> None:
    assert testable.needed("04-complementarity") == ["F3", "F3b", "F4"]
    assert testable.needed("13-protocol") == list(testable.AUDITED)
    assert testable.needed("01-data") == []
