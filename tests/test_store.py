"""The cache: what goes in comes out, and nothing damaged is ever believed."""

import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from safetensors import SafetensorError

from lib import errors, inventory, store
from lib.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def value() -> store.Value:
    return {
        "vectors": np.arange(6, dtype=np.float32).reshape(2, 3),
        "table": pd.DataFrame({"a": [1, 2]}),
        "facts": {"seconds": 1.5},
    }


def never() -> store.Value:
    raise AssertionError("made again")


def test_gives_back_what_was_made_and_makes_it_once() -> None:
    store.remember("view", {"seed": 1}, value)
    found = store.remember("view", {"seed": 1}, never)
    np.testing.assert_array_equal(found["vectors"], value()["vectors"])
    pd.testing.assert_frame_equal(found["table"], value()["table"])
    assert found["facts"] == {"seconds": 1.5}


def test_another_key_is_another_value() -> None:
    store.remember("view", {"seed": 1}, value)
    assert store.remember("view", {"seed": 2}, lambda: {"x": 3}) == {"x": 3}


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "manifest"])
def test_damage_is_found_named_and_mended(
    cache: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.remember("view", {"seed": 1}, value)
    path = next(cache.glob("view/*/arrays.safetensors"))
    raw = bytearray(path.read_bytes())
    if damage == "flip":
        raw[-1] ^= 1
        path.write_bytes(raw)
    elif damage == "truncate":
        path.write_bytes(raw[:-4])
    elif damage == "remove":
        path.unlink()
    else:
        (path.parent / store.MANIFEST).write_text("{")
    found = store.remember("view", {"seed": 1}, value)
    np.testing.assert_array_equal(found["vectors"], value()["vectors"])
    assert path.parent.name in caplog.text and "damaged" in caplog.text


def test_a_failed_make_leaves_nothing(cache: Path) -> None:
    with pytest.raises(AssertionError):
        store.remember("view", {"seed": 1}, never)
    assert len(inventory.entries()) == 0
    assert store.remember("view", {"seed": 1}, lambda: {"x": 1}) == {"x": 1}


def test_a_half_written_draft_of_a_killed_process_is_swept(cache: Path) -> None:
    store.remember("view", {"seed": 1}, value)
    entry = next(cache.glob("view/*/facts.json")).parent
    draft = entry.with_name(f".draft-{entry.name}")
    entry.rename(draft)
    assert len(inventory.entries()) == 0
    store.remember("view", {"seed": 1}, value)
    assert not draft.exists() and len(inventory.entries()) == 1


def _slow_writer(cache: str, count: str) -> None:
    os.environ["COMPANION_CACHE"] = cache

    def make() -> store.Value:
        with open(count, "a") as handle:
            handle.write("x")
        time.sleep(0.3)
        return value()

    store.remember("view", {"seed": 1}, make)


def test_writers_of_one_key_wait_for_each_other(cache: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    arguments = (str(cache), str(tmp_path / "count"))
    writers = [context.Process(target=_slow_writer, args=arguments) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "x"


def test_a_cache_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="COMPANION_CACHE"):
        store.remember("view", {}, value)


def test_digest_sees_values_types_shapes_and_order() -> None:
    a = np.arange(4)
    parts = [a, a.astype(float), a.reshape(2, 2), a[::-1], sp.csr_matrix(a), [0, 1, 2, 3]]
    assert len({store.digest(part) for part in parts}) == len(parts)
    assert store.digest(a) == store.digest(np.arange(8)[::1][:4].copy())
    assert store.digest("a", "bc") != store.digest("ab", "c")


def test_code_version_ignores_comments_and_docstrings(tmp_path: Path) -> None:
    def version(text: str) -> str:
        import importlib.util

        path = tmp_path / f"page{abs(hash(text))}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return store.code_version(module)

    plain = "def f(x):\n    return x + 1\n"
    same = '"""Words."""\n\n\ndef f(x):\n    """More."""\n    # why\n    return x + 1\n'
    assert version(plain) == version(same)
    assert version(plain) != version(plain.replace("+ 1", "+ 2"))
    assert store.code_version(store) != store.code_version(errors)


def entry(cache: Path, seed: int) -> Path:
    store.remember("view", {"seed": seed}, lambda: {"seed": seed})
    return next(p.parent for p in cache.glob("view/*/facts.json") if f"{seed}" in p.read_text())


def test_an_entry_under_another_keys_name_is_not_believed(cache: Path) -> None:
    one, other = entry(cache, 1), entry(cache, 2)
    (other / "facts.json").replace(one / "facts.json")
    (other / store.MANIFEST).replace(one / store.MANIFEST)
    assert store.remember("view", {"seed": 1}, lambda: {"seed": "again"}) == {"seed": "again"}


@pytest.mark.parametrize("change", ["unlisted", "unlisted facts"])
def test_files_that_the_manifest_does_not_name_are_not_believed(cache: Path, change: str) -> None:
    folder = entry(cache, 1)
    if change == "unlisted":
        pd.DataFrame({"a": [1]}).to_parquet(folder / "more.parquet")
    else:
        (folder / store.MANIFEST).write_text('{"key": {"seed": 1}, "files": {}}')
        (folder / "facts.json").unlink()
    assert store.remember("view", {"seed": 1}, lambda: {"seed": "again"}) == {"seed": "again"}


@pytest.mark.parametrize("text", ["[]", "{}", '{"files": [], "key": 1}', "null", ""])
def test_a_manifest_of_any_other_form_is_damage(cache: Path, text: str) -> None:
    folder = entry(cache, 1)
    (folder / store.MANIFEST).write_text(text)
    assert store.remember("view", {"seed": 1}, lambda: {"seed": "again"}) == {"seed": "again"}


def test_a_disk_that_is_full_is_one_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(InputError, match="No space left.*free space") as fault:
        store.remember("view", {"seed": 1}, value)
    assert "\n" not in str(fault.value)
    monkeypatch.undo()
    monkeypatch.setenv("COMPANION_CACHE", str(cache))
    assert list(cache.glob("view/[!.]*")) == []
    assert store.remember("view", {"seed": 1}, lambda: {"x": 1}) == {"x": 1}


def test_the_keys_of_entries_are_read_back_as_they_were(cache: Path) -> None:
    key = {"a": None, "b": [1, 2.5, "é"], "c": {"x": True, "n": float("nan")}, "d": (1, 2),
           "e": np.int64(3), "f": np.float32(0.1), "g": Path("x")}  # fmt: skip
    store.remember("view", key, lambda: {"x": 1})
    assert store.remember("view", key, never) == {"x": 1}


def test_who_finds_damage_late_removes_no_sound_entry(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = entry(cache, 1)
    (folder / "facts.json").write_text("{")
    damaged = store._fault(folder)
    (folder / "facts.json").write_text('{"seed": 1}')  # another process made it again
    seen, once = store._fault, iter([damaged])
    monkeypatch.setattr(store, "_fault", lambda folder: next(once, None) or seen(folder))
    assert store.remember("view", {"seed": 1}, never) == {"seed": 1}
