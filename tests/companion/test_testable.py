"""What cannot be judged on small or plain data, and how many texts an encoder cuts."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from companion import testable
from companion.data import synthetic
from lib import claims
from lib.dataset import Dataset

EVERY = [name for name in claims.load() if name not in testable.SIMULATED]


@pytest.fixture(scope="module")
def world() -> Dataset:
    """Return a world of 80 items on which every finding can be judged, but for times."""
    made = synthetic.world(n_users=60, n_items=80, seed=1).dataset
    texts = [f"text {n}" for n in range(80)]
    items = made.items.assign(text=texts)
    return replace(made, vectors=None, items=items, card=made.card | {"times": "2001 to 2002"})


def test_everything_can_be_judged_on_enough_data(world: Dataset) -> None:
    assert testable.reasons(world, 7) == {}
    timeless = replace(world, card={})
    assert testable.reasons(timeless, 7) == {"there are no times for a temporal split": ["Q3"]}


def test_without_text_nothing_that_reads_it_can_be_judged(world: Dataset) -> None:
    for text, why in (("", "the items have no text"), ("same", "all items have the same text")):
        plain = replace(world, items=world.items.assign(text=text))
        assert testable.reasons(plain, 7) == {why: EVERY}
        assert testable.reasons(plain, 7, "vectors.npy") == {}
        assert testable.reasons(replace(plain, vectors=np.ones((80, 2), np.float32)), 7) == {}


def test_few_users_and_a_selection_at_its_ceiling(world: Dataset) -> None:
    parts = {name: getattr(world, name)[:9] for name in ("train", "valid", "test")}
    (why,) = testable.reasons(replace(world, **parts), 20)
    assert why == "9 users have a test item, and an interval needs 10"
    few = synthetic.world(n_users=60, n_items=30, interactions=12, seed=1).dataset
    ((why, findings),) = testable.reasons(few, 3).items()
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
    assert found == {"cold and hot items have equally many interactions": ["F4", "F7b", "F9"]}


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
    assert testable.findings("04-complementarity") == ["F3", "F3b", "F4"]
    assert testable.findings("13-protocol") == list(testable.AUDITED)
    assert testable.findings("01-data") == []
