"""What every module rests on: the user-facing error, seeded generators, devices, checks.

It needs NumPy alone; torch is loaded by the functions that return something of torch's.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]


class InputError(ValueError):
    """What was given, what is accepted and what to do next, in one sentence.

    Raised for everything a person can put right. A notebook shows the sentence without traceback.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(_printable(sentence))

    def _render_traceback_(self) -> list[str]:
        """Tell IPython to show the sentence instead of a traceback."""
        return [f"InputError: {self}"]


def _printable(text: str) -> str:
    r"""Escape control characters that a terminal acts on (such as \x1b[2J); keep line feeds."""
    return "".join(
        c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def first_line(fault: BaseException) -> str:
    """Return the first line of another library's error, or its type where it has no message."""
    lines = str(fault).strip().splitlines()
    return lines[0] if lines else type(fault).__name__


def offline() -> bool:
    """Return whether ``COMPANION_OFFLINE`` forbids using the network."""
    return os.environ.get("COMPANION_OFFLINE", "") not in ("", "0")


def _sequence(seed: int, purpose: str) -> np.random.SeedSequence:
    word = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return np.random.SeedSequence([seed, word])


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return NumPy's generator for ``purpose`` ("popularity ties", "bootstrap", …)."""
    return np.random.default_rng(_sequence(seed, purpose))


def torch_generator(seed: int, purpose: str) -> torch.Generator:
    """Return torch's generator for ``purpose``, on the CPU so that all devices draw the same."""
    import torch

    state = _sequence(seed, purpose).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def device_of(name: str) -> torch.device:
    """Return the torch device for "cpu", "cuda" or "auto" (cuda where there is one)."""
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"device {name!r} is not known; choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' was given but torch sees no GPU here; choose auto or cpu")
    chosen = "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
    return torch.device(chosen)


def at_least_one(name: str, *numbers: int) -> None:
    """Refuse any number (a list length, a number of draws) that is not an integer ≥ 1."""
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
            raise InputError(f"{name} = {number} was given; give a whole number of at least 1")


def same_number(of: str, *numbers: int) -> None:
    """Refuse row-aligned inputs whose numbers ``of`` users or items differ."""
    if len(set(numbers)) > 1:
        given = ", ".join(map(str, numbers))
        raise InputError(f"inputs for {given} {of} were given; give all for the same {of}")


def matrix(x: ArrayLike) -> Floats:
    """Return vectors as a float64 matrix (n × d) and refuse values that are not finite."""
    array = np.asarray(x, dtype=np.float64)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise InputError(
            f"vectors of shape {array.shape} with {np.count_nonzero(~np.isfinite(array))} values "
            "that are not finite were given; give a matrix of finite numbers, one row per vector"
        )
    return array


def unit(x: ArrayLike) -> Floats:
    """Return the rows of ``x`` (n × d) at length 1; a zero row stays zero."""
    array = matrix(x)
    norm = np.linalg.norm(array, axis=1, keepdims=True)
    return array / np.where(norm > 0, norm, 1.0)
