"""What every module rests on: the user-facing error, seeded generators, devices, conversions.

Whatever a person gives becomes an array here and nowhere else: numbers by ``array``, vectors by
``matrix``, lists by ``checked_lists``, relevant items by ``relevant_pairs``. NumPy alone is loaded
at once, SciPy and torch by the functions that return something of theirs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import scipy.sparse as sp
    import torch

Floats = NDArray[np.float64]
Lists = NDArray[np.signedinteger]
Relevant = Any
"""A matrix of relevant pairs, n_users × n_items: SciPy's, or anything that ``array`` takes."""


class InputError(ValueError):
    """What was given, what is accepted and what to do next, in one sentence.

    Raised for everything a person can put right. A notebook shows the sentence without traceback.
    """

    def __init__(self, sentence: str) -> None:
        # a terminal acts on control characters such as \x1b[2J: all but line feeds are escaped
        shown = (c if c == "\n" or c.isprintable() else repr(c)[1:-1] for c in str(sentence))
        super().__init__("".join(shown))

    def _render_traceback_(self) -> list[str]:
        """Tell IPython to show the sentence instead of a traceback."""
        return [f"InputError: {self}"]


def first_line(fault: BaseException) -> str:
    """Return the first line of another library's error, or its type where it has no message."""
    lines = str(fault).strip().splitlines()
    return lines[0] if lines else type(fault).__name__


def offline() -> bool:
    """Return whether ``COMPANION_OFFLINE`` forbids using the network."""
    return os.environ.get("COMPANION_OFFLINE", "") not in ("", "0")


def _sequence(seed: int, purpose: str) -> np.random.SeedSequence:
    check_seed(seed)
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


def device_of(name: str | torch.device) -> torch.device:
    """Return the torch device for "cpu", "cuda" or "auto" (cuda where there is one)."""
    import torch

    there = torch.cuda.device_count()
    name = str(name) if isinstance(name, torch.device) else shown(name)
    try:
        found = torch.device(("cuda" if there else "cpu") if name == "auto" else name)
    except RuntimeError:
        found = torch.device("meta")
    if found.type not in ("cpu", "cuda"):
        raise InputError(f"device {name!r} is not known; choose auto, cpu or cuda")
    if found.type == "cuda" and (found.index or 0) >= there:
        seen = f"{there} GPUs" if there else "no GPU"
        raise InputError(f"device {name!r} was given but torch sees {seen} here; choose auto")
    return found


def shown(given: Any) -> str:
    """Return a number or words as one short line, of anything else its type."""
    if isinstance(given, int) and abs(given) >= 2**63:  # Python writes no int of 5,000 digits
        return "an integer beyond 64 bits"
    if given is None or isinstance(given, str | int | float | np.number):
        line = " ".join(str(given).split())
        return line if len(line) < 60 else f"{line[:60]}…"
    return f"a {type(given).__name__}"


def check_type(name: str, given: Any, kind: type) -> None:
    """Refuse what is not of a type."""
    if not isinstance(given, kind):
        raise InputError(f"{name} = {shown(given)} was given; give a {kind.__name__}")


def whole_number(name: str, *numbers: int, least: int = 1, most: int = 10**8) -> None:
    """Refuse any number (a list length, a seed) that is no integer from ``least`` to ``most``."""
    for number in numbers:
        whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if not whole or not least <= number <= most:
            limit = f" and at most {most:,}" if whole and number > most else ""
            told = f"{name} = {shown(number)} was given"
            raise InputError(f"{told}; give a whole number of at least {least}{limit}")


def check_seed(seed: int) -> None:
    """Refuse a seed that is no integer from 0 to the largest of 64 bits."""
    whole_number("seed", seed, least=0, most=2**63 - 1)


def same_number(of: str, *numbers: int) -> None:
    """Refuse row-aligned inputs whose numbers ``of`` users or items differ."""
    if len(set(numbers)) > 1:
        given = ", ".join(map(str, numbers))
        raise InputError(f"inputs for {given} {of} were given; give all for the same {of}")


def several(given: Iterable[Any], what: str) -> list[Any]:
    """Return the lists or views of a sequence, of which there must be at least one."""
    found = list(given) if isinstance(given, Iterable) and getattr(given, "ndim", True) else []
    if not found:
        raise InputError(f"no {what} were given; give at least one in a list of {what}")
    return found


def array(given: Any, what: str) -> NDArray[Any]:
    """Return real numbers as a NumPy array: from NumPy, torch, pandas or lists.

    A tensor may need a gradient, lie on any device and have any float type. Text, complex numbers,
    sparse matrices, rows of different lengths and missing or masked entries are refused.
    """
    kind, parts = type(given).__name__, given if isinstance(given, list | tuple) else [given]
    kind = f"sparse {kind}" if "sparse" in str(getattr(given, "layout", "")) else kind
    try:
        if any(map(np.ma.is_masked, parts)):  # NumPy would drop the mask
            raise ValueError
        if hasattr(given, "is_floating_point"):  # a tensor: NumPy has no bfloat16
            narrow = given.is_floating_point() and given.element_size() < 4
            given = (given.float() if narrow else given).numpy(force=True)
        found = np.asarray(given)
        if found.dtype == object:  # as a data frame with whole numbers and others is
            found = np.array(found.tolist())
    except (TypeError, ValueError, RuntimeError):
        found = np.array("")
    if found.dtype.kind not in "biuf":
        told = f"{what} were given as {kind}; give an array, tensor, table or list of real numbers"
        raise InputError(f"{told}, none missing or masked, all rows of one length")
    return found


def numbers(given: ArrayLike, what: str) -> Floats:
    """Return ``array`` as float64."""
    return array(given, what).astype(np.float64, copy=False)


def matrix(x: ArrayLike) -> Floats:
    """Return vectors as a float64 matrix (n × d) and refuse values that are not finite."""
    found = numbers(x, "vectors")
    odd = np.count_nonzero(~np.isfinite(found))
    if found.ndim != 2 or odd:
        told = f"vectors of shape {found.shape} with {odd} values that are not finite were given"
        raise InputError(f"{told}; give a matrix of finite numbers, one row per vector")
    return found


def unit(x: ArrayLike) -> Floats:
    """Return the rows of ``x`` (n × d) at length 1; a zero row stays zero."""
    found = matrix(x)
    largest = np.abs(found).max(axis=1, keepdims=True, initial=0)
    power = np.clip(np.frexp(largest)[1], -1000, 1000)
    found = found * np.ldexp(1.0, -power)  # exact; squares of 1e200 would overflow
    norm = np.linalg.norm(found, axis=1, keepdims=True)
    return found / np.where(norm > 0, norm, 1)


def checked_lists(lists: ArrayLike) -> Lists:
    """Return lists (n_users × k) as a contiguous array; ids of 64 bits stay whole."""
    found = array(lists, "lists")
    if found.dtype.kind == "u" and found.max(initial=0) <= np.iinfo(np.int64).max:
        found = found.astype(np.int64)
    if found.ndim != 2 or found.shape[1] < 1 or not np.issubdtype(found.dtype, np.signedinteger):
        told = f"lists of shape {found.shape} and type {found.dtype} were given; give signed"
        raise InputError(f"{told} integers, a row per user, at least one column, −1 for no item")
    if found.min(initial=-1) < -1:
        told = f"lists with the item id {found.min()} were given"
        raise InputError(f"{told}; ids are 0 and above, and −1 means no item")
    return np.ascontiguousarray(found)  # a cut lists[:, :k] is slow to read over and over


def relevant_pairs(relevant: Relevant, what: str = "relevant items") -> sp.csr_matrix:
    """Return a matrix of pairs (n_users × n_items) as CSR: sorted, no pair twice, no stored zeros.

    Any sparse or dense matrix, whose non-zeros are the pairs. CSR that is so already comes back as
    it is, any other is copied.
    """
    import scipy.sparse as sp

    given = relevant if sp.issparse(relevant) else numbers(relevant, what)
    try:
        pairs = relevant.tocsr() if sp.issparse(relevant) else sp.csr_matrix(given)
        pairs.check_format(full_check=True)
        if pairs.ndim != 2 or pairs.dtype.kind not in "biuf" or not np.isfinite(pairs.data).all():
            raise ValueError(f"shape {pairs.shape}, type {pairs.dtype} or numbers not finite")
    except (TypeError, ValueError) as fault:
        told = f"{what} are no matrix of finite numbers ({first_line(fault)})"
        raise InputError(f"{told}; give one, users × items") from None
    if not pairs.has_canonical_format or not pairs.data.all():
        pairs = pairs.astype(np.float64)  # a copy, in which sums of small integers cannot be 0
        pairs.sum_duplicates()
        pairs.eliminate_zeros()
    return pairs
