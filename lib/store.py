"""One content-addressed cache for everything that is costly to make.

An entry is a folder named by the digest of what produced it. It is written under a temporary
name and renamed, so a killed process leaves nothing that could be believed; its files are
verified against the recorded SHA-256 at every read, so a flipped bit is found, named and made
again. Writers of one key wait for each other through a file lock, which the operating system
frees when its holder dies.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import platformdirs
import scipy.sparse as sp
from filelock import FileLock

from lib.errors import InputError

log = logging.getLogger(__name__)

Value = dict[str, Any]
"""Arrays, data frames and JSON-able facts by name: what an entry can hold."""

MANIFEST, FACTS, ARRAYS = "manifest.json", "facts.json", "arrays.safetensors"


def root() -> Path:
    """Return the folder of the cache: ``COMPANION_CACHE``, or the user's cache folder."""
    place = os.environ.get("COMPANION_CACHE")
    return (
        Path(place)
        if place
        else Path(platformdirs.user_cache_dir("semantic-collaborative-companion"))
    )


def digest(*parts: Any) -> str:
    """Return the SHA-256 (hex) of arrays, CSR matrices, data frames, bytes and JSON-able values.

    Types and shapes count: an array of ints and the same array of floats differ.
    """
    state = hashlib.sha256()
    for part in parts:
        for chunk in _chunks(part):
            state.update(len(chunk).to_bytes(8, "little"))
            state.update(chunk)
    return state.hexdigest()


def _chunks(part: Any) -> list[bytes | memoryview]:
    if isinstance(part, bytes):
        return [b"bytes", part]
    if isinstance(part, np.ndarray):
        data = np.ascontiguousarray(part)
        return [f"array {data.dtype.str} {data.shape}".encode(), data.view(np.uint8).data]
    if sp.issparse(part):
        rows = part.tocsr()
        pieces = [rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data]
        head: list[bytes | memoryview] = [f"csr {rows.shape}".encode()]
        return head + [chunk for piece in pieces for chunk in _chunks(piece)]
    if isinstance(part, pd.DataFrame):
        return [b"table", part.to_json(orient="split", double_precision=15).encode()]
    return [b"json", json.dumps(part, sort_keys=True, default=str).encode()]


@functools.cache  # a chapter asks for the same few a hundred times, and parsing takes longest
def code_version(*pieces: ModuleType | Callable[..., Any]) -> str:
    """Return a digest of the pieces' syntax trees: comments and docstrings do not count."""
    trees = [ast.parse(inspect.cleandoc("\n" + inspect.getsource(piece))) for piece in pieces]
    for tree in trees:
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and _is_docstring(body[0]):
                del body[0]
    return digest([ast.dump(tree) for tree in trees])[:16]


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def remember(kind: str, key: dict[str, Any], make: Callable[[], Value]) -> Value:
    """Return the value that ``make`` gives for ``key``, from the cache where it is there.

    Parameters
    ----------
    kind
        A plain word, the folder the entry lies in ("view", "text", "dataset", …).
    key
        All that decides the value, JSON-able: code version, parameters, digests of inputs.
    make
        Computes the value; called at most once over all processes that share the cache.

    Raises
    ------
    InputError
        The cache's folder cannot be written.
    """
    name = _name(kind, key)
    folder = root() / kind / name
    found, fault = _read(folder)
    if found is not None:
        return found
    if fault:
        log.warning("cache entry %s is damaged (%s): it is made again", folder, fault)
    with _Writable(folder.parent), FileLock(folder.parent / f".{name}.lock"):
        found, _ = _read(folder)
        if found is None:
            # under the lock, or it could be the sound one that another process has just made
            shutil.rmtree(folder, ignore_errors=True)
            _write(folder, key, make())
            found, fault = _read(folder)
    if found is None:
        raise InputError(
            f"the cache entry {folder} could not be read back after it was written ({fault}): "
            "check the disk, then run again"
        )
    return found


def _name(kind: str, key: dict[str, Any]) -> str:
    return digest(kind, key)[:32]


class _Writable:
    """Turn a full or read-only disk into one sentence that names the cache and the way out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise self._sentence(fault) from fault

    def __exit__(self, kind: object, fault: object, trace: object) -> None:
        if isinstance(fault, OSError):
            raise self._sentence(fault) from fault

    def _sentence(self, fault: OSError) -> InputError:
        return InputError(
            f"the cache at {root()} cannot be written ({fault.strerror or fault}): "
            "free space there or set COMPANION_CACHE to a writable folder"
        )


def _write(folder: Path, key: dict[str, Any], value: Value) -> None:
    # safetensors and pyarrow are loaded here: a reader of small facts needs neither
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    # one name per key, under the key's lock: what a killed writer left is swept by the next one
    draft = folder.with_name(f".draft-{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        arrays = {k: np.ascontiguousarray(v) for k, v in value.items() if isinstance(v, np.ndarray)}
        tables = {k: v for k, v in value.items() if isinstance(v, pd.DataFrame)}
        facts = {k: v for k, v in value.items() if k not in arrays and k not in tables}
        if arrays:
            try:
                save_file(arrays, draft / ARRAYS)
            except SafetensorError as fault:  # its form of a full disk
                raise OSError(str(fault)) from fault
        for name, table in tables.items():
            table.to_parquet(draft / f"{name}.parquet", index=False)
        (draft / FACTS).write_text(json.dumps(facts, sort_keys=True))
        files = {path.name: _file_digest(path) for path in sorted(draft.iterdir())}
        manifest = {"key": key, "files": files}
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
    fault = _fault(folder)
    if fault:
        return None, fault
    value: Value = json.loads((folder / FACTS).read_text())
    if (folder / ARRAYS).exists():
        from safetensors.numpy import load_file

        value |= load_file(folder / ARRAYS)
    value |= {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}
    return value, None


def _fault(folder: Path) -> str | None:
    """Say what is wrong with an entry, or None: every file is hashed at every read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        files = manifest["files"]
        wrong = [name for name, sha in files.items() if _file_digest(folder / name) != sha]
        other = _name(folder.parent.name, manifest["key"]) != folder.name
        found = {path.name for path in folder.iterdir()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        return f"its manifest or a file cannot be read: {fault}"
    if wrong:
        return f"{', '.join(wrong)} changed on disk"
    if other:
        return "it is another key's"
    foreign = {name for name in found - {MANIFEST, FACTS, ARRAYS} if not name.endswith(".parquet")}
    wrong = sorted(found ^ {MANIFEST, *files} | {FACTS} - found | foreign)
    return f"{', '.join(wrong)}: not the files of this version" if wrong else None


def _file_digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
