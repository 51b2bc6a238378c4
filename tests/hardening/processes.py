"""Start work in a process of its own, kill or interrupt it, and see what it leaves."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

PATIENCE = 300.0  # seconds after which a run counts as hanging
LINGER = 15.0  # seconds after which a process whose parent was killed counts as an orphan

Start = Callable[[Path], subprocess.Popen[bytes]]


def command(*words: str, begun: bool = False, **environment: str) -> Start:
    """Return what starts a command in a folder, with that folder's cache.

    ``begun``: it says so in its log once it has imported everything, which is waited for.
    """

    def start(folder: Path) -> subprocess.Popen[bytes]:
        # hears an interrupt even where the tests were started under nohup
        signal.signal(signal.SIGINT, signal.default_int_handler)
        given = os.environ | {"COMPANION_CACHE": str(folder / "cache")} | environment
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                words, cwd=folder, env=given, stdout=log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        while begun and not (folder / "log").stat().st_size and process.poll() is None:
            time.sleep(0.01)
        return process

    return start


def python(step: Callable[[], object]) -> Start:
    """Return what runs a function of ``stages`` in a folder."""
    code = f"import stages; print('begun', flush=True); stages.{step.__name__}()"
    return command(sys.executable, "-c", code, begun=True, PYTHONPATH=os.pathsep.join(sys.path))


def finished(process: subprocess.Popen[bytes]) -> int | None:
    """Return the exit code, or None where it hangs and had to be killed."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(PATIENCE)
    kill(family(process.pid))
    return None


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


def interrupt(processes: list[psutil.Process]) -> None:
    """Interrupt a process group as Ctrl-C does."""
    for process in processes[:1]:
        os.killpg(process.pid, signal.SIGINT)


def disturbed(
    start: Start, folder: Path, seconds: float, strike: Callable[[list[psutil.Process]], None]
) -> float | None:
    """Start, wait, strike its processes, and return the seconds until all of them have ended.

    None where the work had ended before, or outlives the process that was struck.
    """
    process = start(folder)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    alive, began = family(process.pid), time.perf_counter()
    strike(alive)
    code = finished(process)
    leftover = psutil.wait_procs(alive, timeout=LINGER)[1]
    kill(leftover)
    return time.perf_counter() - began if alive and code != 0 and not leftover else None


def locked(folder: Path) -> list[Path]:
    """Return the lock files under a folder that some process still holds."""
    held = []
    for path in folder.rglob("*.lock"):
        try:
            FileLock(path).acquire(timeout=0).lock.release()
        except Timeout:
            held.append(path)
    return held
