"""One content-addressed cache for everything that is costly to make, and what lies in it.

An entry is a folder named by the digest of what produced it: parameters, inputs and code. It is
written under a temporary name and renamed, and its files are verified against the recorded SHA-256
at every read: what a killed process or a flipped bit leaves is found, named and made again. Writers
of one key wait for each other through a file lock, which dies with its holder.
"""

import ast
import functools
import hashlib
import inspect
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import platformdirs
import scipy.sparse as sp
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from lib.core import InputError

log = logging.getLogger(__name__)

Value = dict[str, Any]
"""Arrays, data frames and JSON-able facts by name: what an entry can hold."""

PACKAGES = ("lib", "companion", "studies")
MANIFEST, FACTS, ARRAYS = "manifest.json", "facts.json", "arrays.safetensors"
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)  # by a damaged manifest


def root() -> Path:
    """Return the folder of the cache: ``COMPANION_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("COMPANION_CACHE")
    return Path(chosen or platformdirs.user_cache_dir("semantic-collaborative-companion"))


def digest(*parts: Any) -> str:
    """Return the SHA-256 (hex) of arrays, CSR matrices, data frames and JSON-able values.

    Types and shapes count: an array of ints and the same array of floats differ.
    """
    state = hashlib.sha256()
    for part in parts:
        for chunk in _chunks(part):
            state.update(len(chunk).to_bytes(8, "little"))
            state.update(chunk)
    return state.hexdigest()


def _chunks(part: Any) -> list[bytes | memoryview]:
    if isinstance(part, np.ndarray):
        data = np.ascontiguousarray(part)
        return [f"array {data.dtype.str} {data.shape}".encode(), data.view(np.uint8).data]
    if sp.issparse(part):
        rows = part.tocsr()
        pieces = [rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data]
        return [f"csr {rows.shape}".encode(), *(c for piece in pieces for c in _chunks(piece))]
    if isinstance(part, pd.DataFrame):
        return [b"table", part.to_json(orient="split", double_precision=15).encode()]
    return [b"json", json.dumps(part, sort_keys=True, default=str).encode()]


def file_digest(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


# keys: the version of the code


@functools.cache
def code_version(*makers: ModuleType | Callable[..., Any]) -> str:
    """Return a digest of all code that the makers' results depend on.

    That is the module of each maker (a module or a function) and every module of ours that it
    imports, directly or through others, without comments and docstrings. This module is left out:
    what it returns is verified at every read, whatever code wrote it.
    """
    waiting = [Path(inspect.getfile(maker)) for maker in makers]
    trees: dict[Path, str] = {}
    while waiting:
        path = waiting.pop()
        if path not in trees and path != Path(__file__):
            trees[path], names = _tree(_source(path))
            found = (_module_file(name) or _module_file(name.rpartition(".")[0]) for name in names)
            waiting += filter(None, found)
    return digest(sorted(trees.values()))[:16]


def _source(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def _tree(source: str) -> tuple[str, list[str]]:
    """Return code's syntax tree without docstrings, and all that it imports by dotted names."""
    tree = ast.parse(source)
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        if isinstance(body := getattr(node, "body", None), list):  # constants have docstrings too
            strings = {s for s in body if isinstance(s, ast.Expr) and type(s.value) is ast.Constant}
            body[:] = [s for s in body if s not in strings]
    return ast.dump(tree), names


def _module_file(name: str) -> Path | None:
    """Return the file of a module of our packages; None for any other name."""
    if name.partition(".")[0] not in PACKAGES:
        return None
    path = Path(__file__).parents[1].joinpath(*name.split("."))
    found = (path / "__init__.py", path.with_suffix(".py"))
    return next((file for file in found if file.is_file()), None)


# entries: made, written, verified and read


def cached(kind: str, key: dict[str, Any], make: Callable[[], Value]) -> Value:
    """Return the value that ``make`` gives for ``key``, from the cache where it is there.

    ``kind`` is one of ``KINDS``. ``key`` has all that decides the value, JSON-able: code version,
    parameters, digests of inputs. ``make`` is called at most once over all processes that share
    the cache; what it raises passes through unchanged.
    """
    folder = root() / kind / _name(kind, key)
    found, fault = _read(folder)
    if found is not None:
        return found
    if fault:
        log.warning("cache entry %s is damaged (%s): it is made again", folder, fault)
    with _writing():
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock").acquire()
    with lock:
        found, _ = _read(folder)  # another process may have made it while this one waited
        if found is None:
            value = make()
            with _writing():
                shutil.rmtree(folder, ignore_errors=True)
                _write(folder, key, value)
            found, fault = _read(folder)
    if found is None:
        told = f"the cache entry {folder} could not be read back after it was written ({fault})"
        raise InputError(f"{told}: check the disk, then run again")
    return found


def _name(kind: str, key: dict[str, Any]) -> str:
    return digest(kind, key)[:32]


@contextmanager
def _writing() -> Iterator[None]:
    """Turn a full or read-only disk into one sentence that names the cache and the way out."""
    try:
        yield
    except (OSError, SafetensorError) as fault:
        reason = getattr(fault, "strerror", None) or fault
        told = f"the cache at {root()} cannot be written ({reason}): free space there"
        raise InputError(f"{told} or set COMPANION_CACHE to a writable folder") from fault


def _write(folder: Path, key: dict[str, Any], value: Value) -> None:
    # one name per key, under the key's lock: what a killed writer left is removed by the next one
    draft = folder.with_name(f".draft-{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        arrays = {k: np.ascontiguousarray(v) for k, v in value.items() if isinstance(v, np.ndarray)}
        tables = {k: v for k, v in value.items() if isinstance(v, pd.DataFrame)}
        facts = {k: v for k, v in value.items() if k not in arrays and k not in tables}
        if arrays:
            save_file(arrays, draft / ARRAYS)
        for name, table in tables.items():
            table.to_parquet(draft / f"{name}.parquet", index=False)
        (draft / FACTS).write_text(json.dumps(facts, sort_keys=True))
        manifest = {"key": key, "files": {p.name: file_digest(p) for p in sorted(draft.iterdir())}}
        (draft / MANIFEST).write_text(json.dumps(manifest, sort_keys=True, default=str))
        for path in draft.iterdir():
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _read(folder: Path) -> tuple[Value | None, str | None]:
    """Return what an entry holds, or None and, where there is one, what is wrong with it."""
    if not folder.is_dir():
        return None, None
    if fault := _fault(folder):
        return None, fault
    value: Value = json.loads((folder / FACTS).read_text())
    if (folder / ARRAYS).exists():
        value |= load_file(folder / ARRAYS)
    value |= {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}
    return value, None


def _fault(folder: Path) -> str | None:
    """Return what is wrong with an entry, or None."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        files = manifest["files"]
        wrong = [name for name, sha in files.items() if file_digest(folder / name) != sha]
        other = _name(folder.parent.name, manifest["key"]) != folder.name
        found = {path.name for path in folder.iterdir()}
    except UNREADABLE as fault:
        return f"its manifest or a file cannot be read: {fault}"
    if wrong:
        return f"{', '.join(wrong)} changed on disk"
    if other:
        return "it is another key's"
    foreign = {name for name in found - {MANIFEST, FACTS, ARRAYS} if not name.endswith(".parquet")}
    wrong = sorted(found ^ {MANIFEST, *files} | {FACTS} - found | foreign)
    return f"{', '.join(wrong)}: not the files of this version" if wrong else None


def entries() -> pd.DataFrame:
    """Return a row per entry and per downloaded file.

    ``kind`` is the folder it lies in, ``of`` the dataset or encoder, ``path`` the folder or file.
    """
    sources = root() / "sources"
    rows: list[tuple[str, str, Path, list[Path]]] = [
        ("sources", path.parent.relative_to(sources).as_posix(), path, [path])
        for path in sorted(sources.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    ]
    for folder in (manifest.parent for manifest in sorted(root().glob(f"*/[!.]*/{MANIFEST}"))):
        rows.append((folder.parent.name, _of(folder), folder, list(folder.iterdir())))
    table = pd.DataFrame(rows, columns=["kind", "of", "path", "files"])
    table["MiB"] = [sum(file.stat().st_size for file in files) / 2**20 for files in table["files"]]
    seconds = [path.stat().st_mtime for path in table["path"]]
    table["written"] = pd.to_datetime(np.array(seconds, dtype=float), unit="s")
    return table[["kind", "of", "MiB", "written", "path"]]


def _of(folder: Path) -> str:
    """Return the dataset or encoder in an entry's key."""
    try:
        key = json.loads((folder / MANIFEST).read_text())["key"]
        return str(key.get("dataset") or key.get("encoder") or "")
    except UNREADABLE:
        return "damaged"
