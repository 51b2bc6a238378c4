"""One run at a time in a folder, by a lock that the operating system takes back from the dead."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lib.core import InputError

LOCK = Path(".snakemake", "alone.lock")


def become(words: Sequence[str]) -> NoReturn:
    """Become a command, unless one that was started so still runs in this folder.

    Snakemake's own lock is a file that outlives a killed run, so that the next one is refused.

    Raises
    ------
    InputError
        Another run is at work here.
    """
    LOCK.parent.mkdir(exist_ok=True)
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"another run is at work in {Path.cwd()}: wait for it or end it, then run again"
        ) from None
    os.set_inheritable(lock, True)  # it is held as long as the command is there
    os.execvp(words[0], list(words))
