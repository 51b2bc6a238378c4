"""What is asked of a matrix of vectors, and its rows at unit length."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lib.errors import InputError

Floats = NDArray[np.float64]


def matrix(x: ArrayLike) -> Floats:
    """Return vectors as a float64 matrix (n × d).

    Raises
    ------
    InputError
        No matrix, or a value that is not finite.
    """
    array = np.asarray(x, dtype=np.float64)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise InputError(
            f"vectors of shape {array.shape} with {np.count_nonzero(~np.isfinite(array))} values "
            "that are not finite were given; give a matrix of finite numbers, one row per vector"
        )
    return array


def unit(x: ArrayLike) -> Floats:
    """Return the rows of ``x`` (n × d) at length 1; a zero row stays zero.

    Raises
    ------
    InputError
        As ``matrix``.
    """
    array = matrix(x)
    norm = np.linalg.norm(array, axis=1, keepdims=True)
    return array / np.where(norm > 0, norm, 1.0)
