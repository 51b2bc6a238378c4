"""TREC files by hand, and read back by ranx with the metrics that we compute."""

import gzip
import tempfile
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Tiny, ranx, worlds

from companion.data import trec
from companion.execute import literal, variant
from lib import metrics
from lib.core import InputError

KEYS = ["a", "b c", "d"]


def test_a_run_by_hand() -> None:
    lists = np.array([[2, 0], [1, -1]])
    found = trec.run_table(lists, [[0.5, 0.25], [1, -np.inf]], KEYS, "ours")
    assert trec.file_text(found) == "0 Q0 d 1 0.5 ours\n0 Q0 a 2 0.25 ours\n1 Q0 b%20c 1 1.0 ours\n"


def test_qrels_by_hand() -> None:
    relevant = sp.csr_matrix(np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]]))
    assert trec.file_text(trec.qrels_table(relevant, KEYS)) == "0 0 b%20c 1\n0 0 d 1\n2 0 a 1\n"


@pytest.mark.parametrize(
    ("lists", "scores", "tag", "word"),
    [
        ([[0]], [[1.0, 2.0]], "x", "one score per list entry"),
        ([[3]], [[1.0]], "x", "item id 3"),
        ([[0]], [[1.0]], "two words", "one word"),
        ([[0]], [[1.0]], "", "one word"),
        ([[0]], [[np.nan]], "x", "finite scores"),
        ([[0]], [[1e39]], "x", "finite scores"),
        ([[0, 1, 2]], [[2.0, 1.0, 1.5]], "x", "best item first"),
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


@given(st.lists(st.text(min_size=1), min_size=1, max_size=6, unique=True))
def test_keys_come_back_whatever_they_are(keys: list[str]) -> None:
    lists = np.arange(len(keys))[None]
    text = trec.file_text(trec.run_table(lists, -1.0 * lists, keys, "ours"))
    words = [line.split() for line in text.splitlines()]
    assert all(len(line) == 6 for line in words) and text.isascii()
    assert [unquote(line[2], errors="surrogatepass") for line in words] == keys


@pytest.mark.parametrize("keys", [["a", ""], ["a", "a"]])
def test_keys_that_would_become_one_are_refused(keys: list[str]) -> None:
    with pytest.raises(InputError, match="give each item its own"):
        trec.qrels_table(sp.csr_matrix([[1, 1]]), keys)


TIED = st.lists(st.sampled_from([3e37, 2.0, 1e-30, 0.0, -0.0, -1e-45, -5.0]), min_size=2)


@given(TIED)
def test_scores_fall_strictly_in_any_precision(scores: list[float]) -> None:
    """Tools break ties by item, by chance, or after rounding to float32: each its own NDCG."""
    falling = np.array(sorted(scores, reverse=True))[None]
    lists = np.arange(falling.size)[None]
    keys = [f"i{item}" for item in range(falling.size)]
    written = trec.run_table(lists, falling, keys, "ours")["score"]
    read = np.array(trec.file_text(written.to_frame()).split(), dtype=np.float64)
    assert (np.diff(read) < 0).all() and (np.diff(read.astype(np.float32)) < 0).all()
    assert written.dtype == np.float32 and np.allclose(written, falling[0], rtol=1e-5, atol=1e-5)


def made_up(folder: Path) -> tuple[Path, Path, dict[str, float]]:
    """Write a run that is full of ties, its qrels, and return our NDCG@10 by user."""
    rng = np.random.default_rng(0)
    lists = np.argsort(rng.random((50, 40)), axis=1)[:, :12]
    scores = -np.sort(-rng.integers(0, 3, lists.shape), axis=1).astype(float)
    lists[3, 5:] = -1
    relevant = sp.csr_matrix(rng.random((50, 40)) < 0.2)
    keys = [f"the hill {i}" if i % 2 else f"the_hill_{i}" for i in range(40)]
    run, qrels = folder / "ties.trec", folder / "ties.qrels"
    run.write_text(trec.file_text(trec.run_table(lists, scores, keys, "ties")))
    qrels.write_text(trec.file_text(trec.qrels_table(relevant, keys)))
    ours = metrics.ndcg(lists[:, :10], relevant)
    return run, qrels, {str(u): v for u, v in enumerate(ours) if not np.isnan(v)}


def test_pytrec_eval_ir_measures_and_ranx_score_ties_as_we_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, qrels, ours = made_up(tmp_path)
    tool = ranx(monkeypatch)
    read = tool.Run.from_file(str(run), kind="trec")
    tool.evaluate(tool.Qrels.from_file(str(qrels), kind="trec"), read, "ndcg@10")
    assert read.scores["ndcg@10"] == pytest.approx(ours, abs=1e-9)
    pytrec_eval = pytest.importorskip("pytrec_eval")
    with qrels.open() as wanted, run.open() as found:
        judged = pytrec_eval.RelevanceEvaluator(pytrec_eval.parse_qrel(wanted), {"ndcg_cut.10"})
        scores = judged.evaluate(pytrec_eval.parse_run(found))
    assert {u: of["ndcg_cut_10"] for u, of in scores.items()} == pytest.approx(ours, abs=1e-9)
    ir_measures = pytest.importorskip("ir_measures")
    files = ir_measures.read_trec_qrels(str(qrels)), ir_measures.read_trec_run(str(run))
    each = ir_measures.iter_calc([ir_measures.nDCG @ 10], *files)
    assert {of.query_id: of.value for of in each} == pytest.approx(ours, abs=1e-9)


def test_what_was_written_is_read_in_the_same_order(tmp_path: Path) -> None:
    run, qrels, ours = made_up(tmp_path)
    table = trec.read_run(run)
    lines = [line.split() for line in run.read_text().splitlines()]
    for user, of in table.groupby("user"):
        assert list(of["item"]) == [line[2] for line in lines if line[0] == user]
    assert set(trec.read_qrels(qrels)["user"]) == set(ours)


def test_equal_scores_are_read_in_the_order_of_ranks(tmp_path: Path) -> None:
    run = tmp_path / "a.trec"
    run.write_text("u Q0 b 2 1.0 x\nu Q0 a 1 1.0 x\nu Q0 c 3 7 x\n")
    assert list(trec.read_run(run)["item"]) == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "6 words a line"),
        ("u Q0 a 1 2.0\n", "has 5 in its first line"),
        ("u Q0 a 1 2.0 x\nu Q0 b 2 1 x y\n", "line 2"),
        ("u Q0 a 1 high x\n", "score 'high' in line 1"),
        ("u Q0 a 1 nan x\n", "score 'nan' in line 1"),
        ("u Q0 a 1 2 x\nu Q0 b one 1 x\n", "rank 'one' in line 2"),
        ("u Q0 a 1 2 x\nu Q0 a 2 1 x\n", "item 'a' twice for user 'u'"),
    ],
)
def test_a_spoiled_run_is_one_sentence(tmp_path: Path, text: str, word: str) -> None:
    run = tmp_path / "a.trec"
    run.write_text(text)
    with pytest.raises(InputError, match=word) as fault:
        trec.read_run(run)
    assert "\n" not in str(fault.value)
    with pytest.raises(InputError, match="4 words a line"):
        trec.read_qrels(tmp_path / "nowhere")


@pytest.mark.parametrize("suffix", [".gz", ".GZ", ".bz2", ".xz", ".zip", ".zst", ".tar"])
def test_a_file_that_is_not_what_its_suffix_says_is_one_sentence(
    tmp_path: Path, suffix: str
) -> None:
    run, whole = tmp_path / f"a.trec{suffix}", b"u Q0 a 1 2 x\n" * 99
    for content in (b"PK\3\4\xff", gzip.compress(whole)[:30], gzip.compress(whole)[:15] + whole):
        run.write_bytes(content)
        with pytest.raises(InputError, match="6 words a line"):
            trec.read_run(run)
    run.write_bytes(gzip.compress(whole[:13]) if "gz" in suffix.lower() else whole[:13])
    assert trec.read_run(run).to_numpy().tolist() == [["u", "a", 2.0]]


@pytest.mark.parametrize("out", ["", "a.qrels", "a.QRELS", "folder", "file/a.trec", "a\0b"])
def test_a_file_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    from companion import data
    from companion.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", lambda *_, **__: pytest.fail("work began"))
    Path("folder").mkdir()
    Path("file").write_text("kept")
    for verb in (["export", "synthetic", "popularity"], ["fit", "synthetic", "popularity"]):
        if (verb[0], out.lower()) != ("fit", "a.qrels"):
            assert main([*verb, "--out", out]) == 2
            assert "Traceback" not in capsys.readouterr().err
    assert Path("file").read_text() == "kept"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lightgcn", "-p", "epochs", "2.5"], "epochs = 2.5"),
        (["linear", "-p", "dimension", "64.0"], "dimension = 64.0"),
        (["svd", "-p", "dimension", "abc"], "dimension = abc"),
        (["svd", "-p", "dimension", "4.0"], "dimension = 4.0"),
        (["lightgcn", "-p", "temperature", "nan"], "temperature = 'nan'"),
        (["lightgcn", "-p", "seed", "3"], "no parameter 'seed'"),
        (["lightgcn", "--seed", "-1"], "--seed"),
        (["lightgcn", "--seed", "1.5"], "valid integer"),
        (["bert4rec"], "model 'bert4rec' is not known"),
    ],
)
def test_values_are_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    from companion import data
    from companion.__main__ import main

    monkeypatch.setattr(data, "load", lambda *_, **__: pytest.fail("work began"))
    assert main(["fit", "synthetic", *words]) == 2
    told = capsys.readouterr().err
    assert said in told and "Traceback" not in told


@pytest.mark.parametrize("value", ["abc", "1e-1", "64.0", "True"])
def test_a_chapter_takes_values_of_its_types_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, value: str
) -> None:
    """It said so after a kernel had started."""
    from companion import execute
    from companion.__main__ import main

    ran: dict[str, object] = {}

    def run(chapter: Path, out: Path, values: dict[str, object]) -> None:
        ran.update(values)
        out.touch()
        raise execute.ChapterError("stopped")

    monkeypatch.setattr(execute, "_run", run)
    chapter = str(Path(execute.__file__).parents[1] / "chapters" / "03-agreement.ipynb")
    words = ["execute", chapter, "synthetic", "--out", str(tmp_path / "out.ipynb"), "-p"]
    assert main([*words, "seeds", value]) == 2
    assert "seeds = " in (told := capsys.readouterr().err) and "of type int" in told and not ran
    assert main([*words, "encoder", "5", "-p", "seeds", "1e1"]) == 1
    assert (ran["encoder"], ran["seeds"]) == ("5", 10)


def test_numbers_as_people_type_them() -> None:
    typed = {"1e1": 10, "1e-3": 1e-3, "64.0": 64.0, "1e400": float("inf"), "-1": -1, "5": 5}
    for text, value in typed.items():
        assert literal(text) == value and type(literal(text)) is type(value)
    assert literal("1e") == "1e" and literal("nan") == "nan"
    assert literal("1e3", "fields") == "1e3" and variant("a@encoder=1e3")[1] == {"encoder": "1e3"}
