"""TREC files by hand, and read back by ranx with the metrics that we compute."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from tiny import Tiny, ranx, worlds

from companion.data import trec
from lib import metrics
from lib.core import InputError

KEYS = ["a", "b c", "d"]


def test_a_run_by_hand() -> None:
    lists = np.array([[2, 0], [1, -1]])
    found = trec.run_table(lists, [[0.5, 0.25], [1, -np.inf]], KEYS, "ours")
    assert trec.file_text(found) == "0 Q0 d 1 0.5 ours\n0 Q0 a 2 0.25 ours\n1 Q0 b_c 1 1.0 ours\n"


def test_qrels_by_hand() -> None:
    relevant = sp.csr_matrix(np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]]))
    assert trec.file_text(trec.qrels_table(relevant, KEYS)) == "0 0 b_c 1\n0 0 d 1\n2 0 a 1\n"


@pytest.mark.parametrize(
    ("lists", "scores", "tag", "word"),
    [
        ([[0]], [[1.0, 2.0]], "x", "one score per list entry"),
        ([[3]], [[1.0]], "x", "item id 3"),
        ([[0]], [[1.0]], "two words", "one word"),
        ([[0]], [[1.0]], "", "one word"),
    ],
)
def test_wrong_input_is_one_sentence(lists, scores, tag, word) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=word) as fault:
        trec.run_table(np.array(lists), scores, KEYS, tag)
    assert "\n" not in str(fault.value)


@given(worlds())
@settings(max_examples=20, deadline=None)
def test_ranx_reads_the_files_and_finds_our_recall(world: Tiny) -> None:
    lists = world.lists[0]
    if not (world.relevant.nnz and (lists >= 0).any()):
        return
    with pytest.MonkeyPatch.context() as patch:
        tool = ranx(patch)
        k = lists.shape[1]
        scores = np.broadcast_to(-np.arange(k, dtype=float), lists.shape)
        keys = [f"item {i}" for i in range(world.n_items)]
        with tempfile.TemporaryDirectory() as folder:
            run, wanted = Path(folder, "ours.trec"), Path(folder, "ours.qrels")
            run.write_text(trec.file_text(trec.run_table(lists, scores, keys, "ours")))
            wanted.write_text(trec.file_text(trec.qrels_table(world.relevant, keys)))
            qrels = tool.Qrels.from_file(str(wanted), kind="trec")
            read = tool.Run.from_file(str(run), kind="trec")
        tool.evaluate(qrels, read, f"recall@{k}", make_comparable=True)
        ours = metrics.recall(lists, world.relevant)
        for user, value in read.scores[f"recall@{k}"].items():
            assert value == pytest.approx(ours[int(user)])


def test_files_are_written_by_the_command(tmp_path: Path, cache_folder: Path) -> None:
    from companion.__main__ import main

    out = tmp_path / "popular.trec"
    assert main(["export", "synthetic", "popularity", "--k", "5", "--out", str(out)]) == 0
    lines = out.read_text().splitlines()
    assert len(lines) == 500 * 5 and lines[0].split()[1:4:2] == ["Q0", "1"]
    assert (tmp_path / "popular.qrels").read_text().startswith("0 0 ")
