"""The cache: what goes in comes out, nothing damaged is believed, and the inventory is right."""

import ast
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from safetensors import SafetensorError

from lib import cache, core, views
from lib.core import InputError

pytestmark = pytest.mark.usefixtures("cache_folder")


def value() -> cache.Value:
    return {
        "vectors": np.arange(6, dtype=np.float32).reshape(2, 3),
        "table": pd.DataFrame({"a": [1, 2]}),
        "facts": {"seconds": 1.5},
    }


def never() -> cache.Value:
    raise AssertionError("made again")


def test_gives_back_what_was_made_and_makes_it_once() -> None:
    cache.cached("view", {"seed": 1}, value)
    found = cache.cached("view", {"seed": 1}, never)
    np.testing.assert_array_equal(found["vectors"], value()["vectors"])
    pd.testing.assert_frame_equal(found["table"], value()["table"])
    assert found["facts"] == {"seconds": 1.5}


def test_another_key_is_another_value() -> None:
    cache.cached("view", {"seed": 1}, value)
    assert cache.cached("view", {"seed": 2}, lambda: {"x": 3}) == {"x": 3}


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "manifest"])
def test_damage_is_found_named_and_mended(
    cache_folder: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache.cached("view", {"seed": 1}, value)
    path = next(cache_folder.glob("view/*/arrays.safetensors"))
    raw = bytearray(path.read_bytes())
    if damage == "flip":
        raw[-1] ^= 1
        path.write_bytes(raw)
    elif damage == "truncate":
        path.write_bytes(raw[:-4])
    elif damage == "remove":
        path.unlink()
    else:
        (path.parent / cache.MANIFEST).write_text("{")
    found = cache.cached("view", {"seed": 1}, value)
    np.testing.assert_array_equal(found["vectors"], value()["vectors"])
    assert path.parent.name in caplog.text and "damaged" in caplog.text


def test_a_failed_make_leaves_nothing(cache_folder: Path) -> None:
    with pytest.raises(AssertionError):
        cache.cached("view", {"seed": 1}, never)
    assert len(cache.entries()) == 0
    assert cache.cached("view", {"seed": 1}, lambda: {"x": 1}) == {"x": 1}


def test_a_half_written_draft_of_a_killed_process_is_swept(cache_folder: Path) -> None:
    cache.cached("view", {"seed": 1}, value)
    entry = next(cache_folder.glob("view/*/facts.json")).parent
    draft = entry.with_name(f".draft-{entry.name}")
    entry.rename(draft)
    assert len(cache.entries()) == 0
    cache.cached("view", {"seed": 1}, value)
    assert not draft.exists() and len(cache.entries()) == 1


def test_writers_of_one_key_wait_for_each_other(tmp_path: Path) -> None:
    code = f"""
import time
from lib import cache

def make():
    with open({str(tmp_path / "count")!r}, "a") as handle:
        handle.write("x")
    time.sleep(0.3)
    return {{"x": 1}}

assert cache.cached("view", {{"seed": 1}}, make) == {{"x": 1}}
"""
    writers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "x"


def test_a_cache_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="COMPANION_CACHE"):
        cache.cached("view", {}, value)


def test_an_error_of_the_maker_passes_through_as_it_was(cache_folder: Path) -> None:
    fault = FileNotFoundError(2, "No such file or directory", "ratings.csv")

    def make() -> cache.Value:
        raise fault

    with pytest.raises(FileNotFoundError) as raised:
        cache.cached("view", {"seed": 1}, make)
    assert raised.value is fault and cache.entries().empty
    assert cache.cached("view", {"seed": 1}, lambda: {"x": 1}) == {"x": 1}  # the lock is free


def test_digest_sees_values_types_shapes_and_order() -> None:
    a = np.arange(4)
    parts = [a, a.astype(float), a.reshape(2, 2), a[::-1], sp.csr_matrix(a), [0, 1, 2, 3]]
    assert len({cache.digest(part) for part in parts}) == len(parts)
    assert cache.digest(a) == cache.digest(np.arange(8)[::1][:4].copy())
    assert cache.digest("a", "bc") != cache.digest("ab", "c")


def test_code_version_ignores_comments_and_docstrings(tmp_path: Path) -> None:
    def version(text: str) -> str:
        import importlib.util

        path = tmp_path / f"page{abs(hash(text))}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return cache.code_version(module)

    plain = "def f(x):\n    return x + 1\n"
    same = '"""Words."""\n\n\ndef f(x):\n    """More."""\n    # why\n    return x + 1\n'
    assert version(plain) == version(same)
    constant = "K = 1\n" + plain
    assert version(constant) == version(constant.replace("1\n", '1\n"""Of what."""\n', 1))
    assert version("K = 'a'\n") != version("K = 'b'\n")
    assert version(plain) != version(plain.replace("+ 1", "+ 2"))
    assert cache.code_version(views) != cache.code_version(core)


def entry(cache_folder: Path, seed: int) -> Path:
    cache.cached("view", {"seed": seed}, lambda: {"seed": seed})
    return next(
        p.parent for p in cache_folder.glob("view/*/facts.json") if f"{seed}" in p.read_text()
    )


def test_an_entry_under_another_keys_name_is_not_believed(cache_folder: Path) -> None:
    one, other = entry(cache_folder, 1), entry(cache_folder, 2)
    (other / "facts.json").replace(one / "facts.json")
    (other / cache.MANIFEST).replace(one / cache.MANIFEST)
    assert cache.cached("view", {"seed": 1}, lambda: {"seed": "again"}) == {"seed": "again"}


@pytest.mark.parametrize("change", ["unlisted", "unlisted facts"])
def test_files_that_the_manifest_does_not_name_are_not_believed(
    cache_folder: Path, change: str
) -> None:
    folder = entry(cache_folder, 1)
    if change == "unlisted":
        pd.DataFrame({"a": [1]}).to_parquet(folder / "more.parquet")
    else:
        (folder / cache.MANIFEST).write_text('{"key": {"seed": 1}, "files": {}}')
        (folder / "facts.json").unlink()
    assert cache.cached("view", {"seed": 1}, lambda: {"seed": "again"}) == {"seed": "again"}


@pytest.mark.parametrize("text", ["[]", "{}", '{"files": [], "key": 1}', "null", ""])
def test_a_manifest_of_any_other_form_is_damage(cache_folder: Path, text: str) -> None:
    folder = entry(cache_folder, 1)
    (folder / cache.MANIFEST).write_text(text)
    assert cache.cached("view", {"seed": 1}, lambda: {"seed": "again"}) == {"seed": "again"}


def test_a_disk_that_is_full_is_one_sentence(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(cache, "save_file", full)
    with pytest.raises(InputError, match="No space left.*free space") as fault:
        cache.cached("view", {"seed": 1}, value)
    assert "\n" not in str(fault.value)
    monkeypatch.undo()
    monkeypatch.setenv("COMPANION_CACHE", str(cache_folder))
    assert list(cache_folder.glob("view/[!.]*")) == []
    assert cache.cached("view", {"seed": 1}, lambda: {"x": 1}) == {"x": 1}


def test_the_keys_of_entries_are_read_back_as_they_were(cache_folder: Path) -> None:
    key = {"a": None, "b": [1, 2.5, "é"], "c": {"x": True, "n": float("nan")}, "d": (1, 2),
           "e": np.int64(3), "f": np.float32(0.1), "g": Path("x")}  # fmt: skip
    cache.cached("view", key, lambda: {"x": 1})
    assert cache.cached("view", key, never) == {"x": 1}


def test_who_finds_damage_late_removes_no_sound_entry(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = entry(cache_folder, 1)
    (folder / "facts.json").write_text("{")
    damaged = cache._fault(folder)
    (folder / "facts.json").write_text('{"seed": 1}')  # another process made it again
    seen, once = cache._fault, iter([damaged])
    monkeypatch.setattr(cache, "_fault", lambda folder: next(once, None) or seen(folder))
    assert cache.cached("view", {"seed": 1}, never) == {"seed": 1}


MODELS = sorted(views.TRAINED | views.SOLVED)


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[Path]]:
    """Return the files of ours that each maker's module loads when Python imports it."""
    modules = {maker.__module__ for model in MODELS for maker in views.makers(model)}
    code = f"""
import importlib, json, sys
found = {{}}
for name in {sorted(modules)}:
    for old in [m for m in sys.modules if m.partition(".")[0] in {cache.PACKAGES}]:
        del sys.modules[old]
    importlib.import_module(name)
    ours = [m for n, m in sys.modules.items() if n.partition(".")[0] in {cache.PACKAGES}]
    found[name] = [m.__file__ for m in ours if not m.__file__.endswith("__init__.py")]
print(json.dumps(found))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name: set(map(Path, files)) for name, files in json.loads(told.stdout).items()}


@pytest.mark.parametrize("model", MODELS)
def test_a_models_key_follows_every_module_that_it_imports(
    model: str, loaded: dict[str, set[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = set().union(*(loaded[maker.__module__] for maker in views.makers(model)))
    files -= {Path(cache.__file__)}
    assert Path(views.__file__) not in files and len(files) > 3
    before = version_with(monkeypatch, model, lambda path, text: text)
    for edited in files:
        after = version_with(
            monkeypatch, model, lambda path, text, e=edited: text + "\nEDITED = 1\n" * (path == e)
        )
        assert after != before, edited
    said = '"""Other words."""\n# and a comment\n'
    assert version_with(monkeypatch, model, lambda _, text: reworded(text, said)) == before


def version_with(
    monkeypatch: pytest.MonkeyPatch, model: str, edit: Callable[[Path, str], str]
) -> str:
    """Return the version of a model's code as it would be after an edit of the files."""
    cache.code_version.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(cache, "_source", lambda path: edit(path, path.read_text(encoding="utf-8")))
        version = cache.code_version(*views.makers(model))
    cache.code_version.cache_clear()
    return version


def reworded(text: str, said: str) -> str:
    docstring = ast.parse(text).body[0]
    return said + "\n".join(text.split("\n")[docstring.end_lineno :])


def test_an_edit_of_a_branch_reaches_the_models_built_on_it_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    linear = Path(inspect.getfile(views.TRAINED["linear"].make))

    def edit(path: Path, text: str) -> str:
        return text + "\nEDITED = 1\n" * (path == linear)

    changed = {
        model
        for model in MODELS
        if version_with(monkeypatch, model, edit)
        != version_with(monkeypatch, model, lambda _, text: text)
    }
    assert {"linear", "joint", "rlmrec", "alpharec", "shared-private", "text-mean"} <= changed
    assert not {"lightgcn", "lightgcn-bpr", "mf-bpr", "simgcl"} & changed
