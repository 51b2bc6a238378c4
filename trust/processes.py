"""Start work in a process of its own, end it at a moment, and see what it leaves."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

PATIENCE = 300.0  # seconds after which a run counts as hanging
LINGER = 15.0  # seconds after which a process whose parent was killed counts as an orphan

Start = Callable[[Path], psutil.Process]


def forked(work: Callable[[Path], object]) -> Start:
    """Return what starts ``work`` in a copy of this process, whose imports are then done."""

    def start(folder: Path) -> psutil.Process:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            _work(work, folder)
        return psutil.Process(child)

    return start


def _work(work: Callable[[Path], object], folder: Path) -> None:
    code = 1
    try:
        os.setsid()
        with (folder / "log").open("w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.environ["COMPANION_CACHE"] = str(folder / "cache")
        os.chdir(folder)
        work(folder)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


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
        process.returncode = 0  # psutil reaps it
        return psutil.Process(process.pid)

    return start


def finished(process: psutil.Process, patience: float = PATIENCE) -> int | None:
    """Return the exit code, or None, all of it being ended, where it hangs."""
    try:
        code: int | None = process.wait(patience)
        return code
    except psutil.TimeoutExpired:
        end(family(process))
        process.wait()
        return None


def family(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and all that it started, oldest first; none where it is gone."""
    try:
        return [process, *process.children(recursive=True)]
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
    time.sleep(seconds)
    alive = family(process) if process.status() != psutil.STATUS_ZOMBIE else []
    end(alive if whole else alive[-1:])
    code = finished(process)
    leftover = psutil.wait_procs(alive, timeout=LINGER)[1]
    end(leftover)
    return bool(alive) and not leftover and code != 0


def interrupted(start: Start, folder: Path, seconds: float) -> float | None:
    """Start, wait, interrupt as Ctrl-C does, and return the seconds until all of it has ended.

    None where it had ended before.
    """
    process = start(folder)
    time.sleep(seconds)
    if process.status() == psutil.STATUS_ZOMBIE:
        finished(process)
        return None
    alive, began = family(process), time.perf_counter()
    os.killpg(process.pid, signal.SIGINT)
    finished(process)
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
