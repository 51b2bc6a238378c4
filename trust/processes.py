"""Start work in a process of its own, end it at a moment, and see what it leaves."""

from __future__ import annotations

import contextlib
import faulthandler
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

Work = Callable[[Path], object]

# of a server that has imported all and done nothing: a fork of a process that has worked, whose
# libraries hold threads and locks, may hang
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["trust.stages"])


class Process:
    """Something started: its process, and how it ended."""

    def __init__(
        self, child: multiprocessing.process.BaseProcess | subprocess.Popen[bytes]
    ) -> None:
        assert child.pid is not None
        self.child, self.pid = child, child.pid

    def finished(self, patience: float = PATIENCE) -> int | None:
        """Return the exit code, or None, all of it being ended, where it hangs."""
        if self.wait(patience) is None:
            end(family(self.pid))
            self.wait(LINGER)
            return None
        return self.wait(0)

    def wait(self, patience: float) -> int | None:
        """Return the exit code as soon as it has ended, or None after so many seconds."""
        if isinstance(self.child, subprocess.Popen):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.child.wait(patience)
            return None
        self.child.join(patience)
        return self.child.exitcode


Start = Callable[[Path], Process]


def forked(work: Work) -> Start:
    """Return what starts ``work``, a function of a module, in a process that has imported all."""

    def start(folder: Path) -> Process:
        child = SERVER.Process(target=_work, args=(work, folder, dict(os.environ)))
        child.start()
        return Process(child)

    return start


def _work(work: Work, folder: Path, environment: dict[str, str]) -> None:
    os.setsid()
    with (folder / "log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ |= environment | {"COMPANION_CACHE": str(folder / "cache")}
    os.chdir(folder)
    faulthandler.dump_traceback_later(PATIENCE / 2)
    work(folder)


def command(*words: str, **environment: str) -> Start:
    """Return what starts a command in a folder, with that folder's cache."""

    def start(folder: Path) -> psutil.Process:
        # also started under nohup, it is to hear an interrupt
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                words,
                cwd=folder,
                env=os.environ | {"COMPANION_CACHE": str(folder / "cache")} | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return Process(process)

    return start


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that it started, oldest first; none where it is gone."""
    try:
        process = psutil.Process(pid)
        gone = process.status() == psutil.STATUS_ZOMBIE
        return [] if gone else [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(processes: list[psutil.Process]) -> None:
    """Kill processes, as the operating system does for want of memory: nothing is cleaned up."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def killed(start: Start, folder: Path, seconds: float, *, whole: bool) -> bool:
    """Start, wait, kill (all, or only the youngest process), and say if it was still at work.

    What was started by a killed process and goes on is waited for.
    """
    process = start(folder)
    process.wait(seconds)
    alive = family(process.pid)
    end(alive if whole else alive[-1:])
    code = process.finished()
    leftover = psutil.wait_procs(alive, timeout=LINGER)[1]
    end(leftover)
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
    end(psutil.wait_procs(alive, timeout=LINGER)[1])
    return time.perf_counter() - began


def locked(folder: Path) -> list[Path]:
    """Return the lock files under a folder that someone still holds."""
    held = []
    for path in folder.rglob("*.lock"):
        try:
            FileLock(path).acquire(timeout=0).lock.release()
        except Timeout:
            held.append(path)
    return held
