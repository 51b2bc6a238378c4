"""Start work in a process of its own, kill or interrupt it, and see what it leaves."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

PATIENCE = 300.0  # seconds after which a run counts as hanging
LINGER = 15.0  # seconds after which a process whose parent was killed counts as an orphan

# work is forked from a server that has imported everything and done nothing: a fork of a process
# that has worked, whose libraries hold threads and locks, may hang
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["stages"])


class Process:
    """A process that was started, however it was."""

    def __init__(
        self, child: multiprocessing.process.BaseProcess | subprocess.Popen[bytes]
    ) -> None:
        assert child.pid is not None
        self.child, self.pid = child, child.pid

    def wait(self, seconds: float) -> int | None:
        """Return the exit code as soon as it has ended, or None after so many seconds."""
        if isinstance(self.child, subprocess.Popen):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.child.wait(seconds)
            return None
        self.child.join(seconds)
        return self.child.exitcode

    def finished(self) -> int | None:
        """Return the exit code, or None where it hangs and had to be killed."""
        code = self.wait(PATIENCE)
        if code is None:
            kill(family(self.pid))
            self.wait(LINGER)
        return code


Start = Callable[[Path], Process]


def forked(work: Callable[[Path], object]) -> Start:
    """Return what starts a module's function in a folder, in a process that has imported all."""

    def start(folder: Path) -> Process:
        child = SERVER.Process(target=_work, args=(work, folder, dict(os.environ)))
        child.start()
        return Process(child)

    return start


def _work(work: Callable[[Path], object], folder: Path, environment: dict[str, str]) -> None:
    os.setsid()
    with (folder / "log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ |= environment | {"COMPANION_CACHE": str(folder / "cache")}
    os.chdir(folder)
    work(folder)


def command(*words: str, **environment: str) -> Start:
    """Return what starts a command in a folder, with that folder's cache."""

    def start(folder: Path) -> Process:
        # hears an interrupt even where the tests were started under nohup
        signal.signal(signal.SIGINT, signal.default_int_handler)
        given = os.environ | {"COMPANION_CACHE": str(folder / "cache")} | environment
        with (folder / "log").open("w") as log:
            return Process(subprocess.Popen(
                words, cwd=folder, env=given, stdout=log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True,
            ))  # fmt: skip

    return start


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that it started, oldest first; nothing where it is gone."""
    try:
        process = psutil.Process(pid)
        gone = process.status() == psutil.STATUS_ZOMBIE
        return [] if gone else [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(processes: list[psutil.Process]) -> None:
    """Kill processes as the operating system does when memory runs out: nothing is cleaned up."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def killed(start: Start, folder: Path, seconds: float, *, whole: bool) -> bool:
    """Start, wait, kill (all, or only the youngest process), and say if it was still at work."""
    process = start(folder)
    process.wait(seconds)
    alive = family(process.pid)
    kill(alive if whole else alive[-1:])
    code = process.finished()
    leftover = psutil.wait_procs(alive, timeout=LINGER)[1]
    kill(leftover)
    return bool(alive) and not leftover and code != 0


def interrupted(start: Start, folder: Path, seconds: float) -> float | None:
    """Start, wait, interrupt as Ctrl-C does, and return the seconds until all of it has ended.

    None where it had ended before.
    """
    process = start(folder)
    process.wait(seconds)
    alive, began = family(process.pid), time.perf_counter()
    if not alive:
        process.finished()
        return None
    os.killpg(process.pid, signal.SIGINT)
    process.finished()
    kill(psutil.wait_procs(alive, timeout=LINGER)[1])
    return time.perf_counter() - began


def locked(folder: Path) -> list[Path]:
    """Return the lock files under a folder that some process still holds."""
    held = []
    for path in folder.rglob("*.lock"):
        try:
            FileLock(path).acquire(timeout=0).lock.release()
        except Timeout:
            held.append(path)
    return held
