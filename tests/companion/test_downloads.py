"""Downloads from a local server that drops, changes and lacks files; mirrors; packages."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from companion.data import downloads
from companion.data.downloads import RemoteFile
from lib.core import InputError

CONTENT = np.random.default_rng(0).bytes(300_000)


@dataclass
class Server:
    """A file server that can misbehave; ``asked`` are the Range headers it saw."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str | None] = field(default_factory=list)
    drop_after: int | None = None  # bytes of the first answer, then the connection ends
    failures: int = 0  # answers of 503 before the first good one
    ranges: bool = True
    versions: bool = True


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            answer(self, state)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{http.server_address[1]}"
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield state
    http.shutdown()
    http.server_close()


def answer(request: BaseHTTPRequestHandler, state: Server) -> None:
    asked = request.headers["Range"]
    state.asked.append(asked)
    if state.failures:
        state.failures -= 1
        request.send_error(503)
        return
    body = state.files.get(request.path.removeprefix("/"))
    if body is None:
        request.send_error(404)
        return
    tag = f'"{hashlib.sha256(body).hexdigest()[:8]}"'
    start = 0
    if asked and state.ranges and request.headers["If-Range"] == tag:
        start = int(asked.removeprefix("bytes=").rstrip("-"))
    if start > 0 and start >= len(body):
        request.send_error(416)
        return
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    if state.versions:
        request.send_header("ETag", tag)
    request.send_header("Content-Length", str(len(body) - start))
    request.end_headers()
    stop, state.drop_after = state.drop_after, None
    request.wfile.write(body[start : None if stop is None else start + stop])


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COMPANION_MIRROR", raising=False)
    monkeypatch.delenv("COMPANION_OFFLINE", raising=False)
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    return tmp_path / "cache"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def source(server: Server, *, known: bool = True, content: bytes = CONTENT) -> RemoteFile:
    server.files["folder/file.bin"] = content
    url = f"{server.address}/folder/file.bin"
    return RemoteFile(url, "folder/file.bin", sha256(CONTENT) if known else None)


@pytest.mark.parametrize("known", [True, False])
def test_a_download_is_made_once(server: Server, known: bool) -> None:
    one = source(server, known=known)
    assert downloads.fetch(one).read_bytes() == CONTENT
    assert downloads.fetch(one).read_bytes() == CONTENT
    assert server.asked == [None]
    assert downloads.known_hash(one) == sha256(CONTENT)


@pytest.mark.parametrize("known", [True, False])
def test_a_dropped_download_goes_on(server: Server, known: bool) -> None:
    one = source(server, known=known)
    server.drop_after = 100_000
    assert downloads.fetch(one).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


@pytest.mark.parametrize("missing", ["ranges", "versions"])
def test_without_ranges_or_versions_it_starts_over(server: Server, missing: str) -> None:
    setattr(server, missing, False)
    one = source(server, known=False)
    server.drop_after = 100_000
    assert downloads.fetch(one).read_bytes() == CONTENT


def test_a_later_call_goes_on_and_never_mixes_two_versions(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = source(server, known=False, content=b"old" + CONTENT[3:])
    server.drop_after = 100_000
    monkeypatch.setattr(downloads, "ATTEMPTS", 1)
    monkeypatch.setattr(downloads.time, "sleep", stop)
    with pytest.raises(KeyboardInterrupt):
        downloads.fetch(one)
    source(server, known=False)
    assert downloads.fetch(one).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def stop(_: float) -> None:
    raise KeyboardInterrupt


def test_a_busy_server_is_asked_again(server: Server) -> None:
    one = source(server)
    server.failures = 2
    assert downloads.fetch(one).read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_thrown_away(
    server: Server, cache_folder: Path
) -> None:
    one = source(server)
    part = cache_folder / "sources" / "folder" / "file.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT + b"more")
    part.with_name("file.bin.part.version").write_text(f'"{sha256(CONTENT)[:8]}"')
    assert downloads.fetch(one).read_bytes() == CONTENT


def test_nothing_is_left_beside_the_file(server: Server, cache_folder: Path) -> None:
    downloads.fetch(source(server))
    assert {path.name for path in (cache_folder / "sources" / "folder").iterdir()} <= {
        "file.bin",
        "file.bin.lock",
    }


@pytest.mark.parametrize("change", ["flip", "truncate"])
def test_a_file_damaged_in_the_cache_is_fetched_again(server: Server, change: str) -> None:
    one = source(server)
    path = downloads.fetch(one)
    path.write_bytes(damaged(CONTENT, change))
    assert downloads.fetch(one).read_bytes() == CONTENT


def damaged(content: bytes, change: str) -> bytes:
    return content[:-1] if change == "truncate" else bytes([content[0] ^ 1]) + content[1:]


@pytest.mark.parametrize("change", ["flip", "truncate"])
def test_a_wrong_file_is_refused_and_not_kept(
    server: Server, cache_folder: Path, change: str
) -> None:
    one = source(server, content=damaged(CONTENT, change))
    with pytest.raises(InputError, match=sha256(CONTENT)):
        downloads.fetch(one)
    assert not (cache_folder / "sources" / "folder" / "file.bin").exists()


@pytest.mark.parametrize("place", ["server", "folder"])
def test_a_file_that_changed_since_its_first_use_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    one = source(server, known=False)
    mirror = mirrored(tmp_path, CONTENT)
    if place == "folder":
        monkeypatch.setenv("COMPANION_MIRROR", str(mirror))
    path = downloads.fetch(one)
    other = damaged(CONTENT, "flip")
    server.files["folder/file.bin"] = other
    path.unlink()
    mirrored(tmp_path, other)
    with pytest.raises(InputError, match=sha256(CONTENT)) as fault:
        downloads.fetch(one)
    assert "to accept the new one" in str(fault.value)


def mirrored(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "mirror" / "folder" / "file.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return tmp_path / "mirror"


def test_a_mirror_is_a_folder_or_a_server(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = RemoteFile("http://127.0.0.1:9/nobody", "folder/file.bin", sha256(CONTENT))
    monkeypatch.setenv("COMPANION_MIRROR", str(mirrored(tmp_path, CONTENT)))
    assert downloads.fetch(public).read_bytes() == CONTENT
    source(server)
    monkeypatch.setenv("COMPANION_MIRROR", server.address + "/")
    assert downloads.fetch(public).read_bytes() == CONTENT
    assert server.asked == [None]


def test_a_mirror_is_checked_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    public = RemoteFile("http://127.0.0.1:9/nobody", "folder/file.bin", sha256(CONTENT))
    mirror = mirrored(tmp_path, damaged(CONTENT, "flip"))
    monkeypatch.setenv("COMPANION_MIRROR", str(mirror))
    with pytest.raises(InputError, match="damaged"):
        downloads.fetch(public)
    (mirror / "folder" / "file.bin").unlink()
    with pytest.raises(InputError, match=r"folder/file\.bin: put the file of http"):
        downloads.fetch(public)


def test_offline_asks_no_one(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    one = source(server)
    monkeypatch.setenv("COMPANION_OFFLINE", "1")
    with pytest.raises(InputError, match="COMPANION_OFFLINE"):
        downloads.fetch(one)
    monkeypatch.setenv("COMPANION_OFFLINE", "0")
    downloads.fetch(one)
    monkeypatch.setenv("COMPANION_OFFLINE", "1")
    assert downloads.fetch(one).read_bytes() == CONTENT
    assert server.asked == [None]


def test_what_cannot_be_had_is_one_sentence(server: Server) -> None:
    with pytest.raises(InputError, match="answers 404"):
        downloads.fetch(RemoteFile(f"{server.address}/none", "none"))
    server.failures = 100
    with pytest.raises(InputError, match="cannot be downloaded"):
        downloads.fetch(source(server))
    with pytest.raises(InputError, match="pip install"):
        downloads.fetch(RemoteFile("pkg:pypi/no-such-package@1.0#a/b", "b"))


def test_a_cache_that_cannot_be_written_is_named(server: Server, cache_folder: Path) -> None:
    cache_folder.write_text("a file where the folder should be")
    with pytest.raises(InputError, match="COMPANION_CACHE"):
        downloads.fetch(source(server))


def test_several_processes_download_once(server: Server) -> None:
    one = source(server)
    workers = [threading.Thread(target=downloads.fetch, args=(one,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert server.asked == [None]
