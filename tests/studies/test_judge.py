"""Runs made anywhere are judged as the chapters judge ours."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tiny import random_lists

from companion import testable
from companion.__main__ import main
from companion.data import trec
from companion.judge import judge
from lib import claims
from lib.core import InputError
from lib.stats import Estimate, of_totals, relative_gain
from studies import measures

K, N_USERS, N_ITEMS = 5, 40, 30


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Write four systems' runs of 2K items and the qrels, of users and items in another order."""
    rng = np.random.default_rng(1)
    keys = [f"item {i}" for i in rng.permutation(N_ITEMS)]
    wanted = (rng.random((N_USERS, N_ITEMS)) < 0.2) * (np.arange(N_USERS) > 1)[:, None]
    relevant = sp.csr_matrix(wanted)
    found = {"qrels": tmp_path / "made.qrels"}
    found["qrels"].write_text(trec.file_text(trec.qrels_table(relevant, keys)))
    for name in ("text", "graph", "svd", "again", "text again"):
        lists = random_lists(rng, N_USERS, N_ITEMS, 2 * K)
        lists[0] = range(2 * K)
        lists[lists[:, 0] < 0, 0] = 0  # a user without a list is refused
        found[name] = tmp_path / f"{name}.trec"
        run = trec.run_table(lists, -np.arange(lists.size).reshape(lists.shape), keys, "made")
        found[name].write_text(trec.file_text(run))
        np.save(tmp_path / f"{name}.npy", lists)
    sp.save_npz(tmp_path / "relevant.npz", relevant)
    return found


def own(pairs: Any, relevant: sp.csr_matrix) -> Any:
    hits = measures.finders(pairs, relevant)
    return hits[2], hits.sum(axis=0)


def test_measures_and_verdicts_are_those_of_the_chapters(
    files: dict[str, Path], tmp_path: Path
) -> None:
    relevant = sp.load_npz(tmp_path / "relevant.npz")
    judged = relevant.getnnz(axis=1) > 0  # the first two users are not in the qrels
    relevant = relevant[judged]
    lists = {name: [np.load(tmp_path / f"{name}.npy")[judged]] for name in files if name != "qrels"}
    short = {name: [one[:, :K] for one in of] for name, of in lists.items()}
    nulls = {"seeds": short["again"], "semantic seeds": short["text again"], "other": short["svd"]}
    nulls |= {"longer": lists["graph"], "semantic longer": lists["text"]}
    counts = np.ones(N_ITEMS)
    ours = measures.Rankings(
        short["text"], short["graph"], relevant, counts, counts.astype(int), nulls
    )
    runs = [files[name] for name in ("text", "graph", "svd")]
    table, page = judge(files["qrels"], runs, K, (files["text again"], files["again"]))
    excess = {
        "F2": Estimate(np.nan, np.nan, np.nan, 0),  # its null is matched by noise in vectors
        "F3": of_totals(
            lambda a, m, b, n: a / m - b / n,
            *own(ours.pairs, relevant),
            *own(ours.beside("seeds"), relevant),
        ),
        "F5": relative_gain(
            *(
                measures.union_recall(pairs, relevant)[0]
                for pairs in (ours.pairs, ours.beside("seeds"))
            )
        ),
    }
    for finding in ("F2", "F3", "F5"):
        wanted = measures.measure(finding, ours) | {"excess": excess[finding]}
        wanted |= {"reach": excess["F2"]} if finding == "F2" else {}
        rows = table[table["about"].str.startswith(f"{finding}:")].set_index("measure")
        assert set(rows.index) == set(wanted)
        for name, value in wanted.items():
            np.testing.assert_allclose(rows.loc[name, list(value._fields)].tolist(), value)
        verdict = claims.judge(finding, wanted)
        assert set(rows["verdict"]) == {verdict.word} and f"<b>{verdict.word}</b>" in page


def test_two_runs_give_what_they_can(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    given = [str(files[name]) for name in ("qrels", "text", "graph")]
    assert main(["judge", *given, "--k", str(K), "--out", str(out)]) == 0
    table = pd.read_csv(out.with_suffix(".csv"))
    assert {"jaccard", "complementary", "gain", "hits of both"} <= set(table["measure"])
    assert set(table["verdict"].dropna()) == {claims.NO_INSTRUMENT}  # no rule reads a null
    assert out.read_text().startswith("<!doctype html>")


def test_few_users_and_long_lists(files: dict[str, Path], tmp_path: Path) -> None:
    lines = files["qrels"].read_text().splitlines(keepends=True)
    few = tmp_path / "few.qrels"
    few.write_text("".join(line for line in lines if int(line.split()[0]) < 11))
    runs = [files["text"], files["graph"]]
    table, page = judge(few, runs, K)
    assert set(table.loc[table["about"].str.startswith("F"), "verdict"]) == {claims.UNTESTABLE}
    assert testable.few("users in the qrels", 9) in page
    with pytest.raises(InputError, match="k = 11 was given, and the longest list of the runs has"):
        judge(files["qrels"], runs, 11)
    for k in (10**12, 0, -1, 2.5, None):  # and no MemoryError or TypeError
        with pytest.raises(InputError, match="give a whole number of at least 1"):
            judge(files["qrels"], runs, k)  # type: ignore[arg-type]


def test_names_stay_data(files: dict[str, Path], tmp_path: Path) -> None:
    hostile = tmp_path / "<script>alert(1)<" / "script>.trec"
    hostile.parent.mkdir()
    hostile.write_text(files["graph"].read_text())
    _, page = judge(files["qrels"], [files["text"], hostile], K)
    assert "<script" not in page


def test_what_cannot_be_judged_is_one_sentence(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least two"):
        judge(files["qrels"], [files["text"]], K)
    with pytest.raises(InputError, match="each once"):
        judge(files["qrels"], [files["text"], files["text"]], K)
    other = tmp_path / "other.trec"
    other.write_text("nobody Q0 item 1 1.0 x\n")
    with pytest.raises(InputError, match="38 of the 38 users.* give runs and qrels of one test"):
        judge(files["qrels"], [files["text"], other], K)
    lines = files["graph"].read_text().splitlines(keepends=True)
    other.write_text("".join(line for line in lines if not line.startswith("7 ")))
    with pytest.raises(InputError, match="no list for 1 of the 38 users in .*, such as '7'"):
        judge(files["qrels"], [files["text"], files["svd"], other], K)
    with pytest.raises(InputError, match="no list for 1 of"):
        judge(files["qrels"], [files["text"], files["svd"]], K, (None, other))
    other.write_text("0 0 item 0\n")
    with pytest.raises(InputError, match="no pair with a relevance above 0"):
        judge(other, [files["text"], files["graph"]], K)
    with pytest.raises(InputError, match="4 words a line"):
        judge(files["text"], [files["text"], files["graph"]], K)


def test_inputs_are_never_overwritten(
    files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = [str(files[name]) for name in ("qrels", "text", "graph")]
    before = files["text"].read_text()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.trec").symlink_to(given[1])
    for out in (given[1], "text.trec", "link.trec", "./made/../text.trec"):
        assert main(["judge", *given, "--k", str(K), "--out", out]) == 2
        assert "would overwrite" in capsys.readouterr().err and files["text"].read_text() == before
