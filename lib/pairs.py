"""Source and target vectors of the same items, standard vectors, and the map between them.

Standard vectors: the mean of the training items is subtracted, and the whole is divided by one
number, the root mean square of what remains. One number, not one per column, because a view's axes
are arbitrary: a rotation of either space changes nothing.

Shapes: n training items, m validation items, s and t the widths of source and target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lib.errors import InputError
from lib.vectors import Floats, matrix


@dataclass(frozen=True)
class Map:
    """A fitted map. ``info`` has ``parameters``, how many numbers were fitted, and what was chosen.

    ``width`` is s, that of the source; ``function`` takes n × s float64 and returns n × t.
    """

    name: str
    info: dict[str, Any]
    width: int
    function: Callable[[Floats], Floats]

    def predict(self, x: ArrayLike) -> Floats:
        """Return the target vectors (n × t float64) predicted for source vectors (n × s).

        Raises
        ------
        InputError
            No finite matrix, or one of another width.
        """
        source = matrix(x)
        if source.shape[1] != self.width:
            raise InputError(
                f"vectors of width {source.shape[1]} were given to the map {self.name!r}; give "
                f"vectors of width {self.width}, as it was fitted on"
            )
        return self.function(source)


class Standard(NamedTuple):
    """How vectors become standard: minus ``mean`` (d), divided by the one number ``scale``."""

    mean: Floats
    scale: float

    def apply(self, x: Floats) -> Floats:
        """Return vectors (n × d) in standard form."""
        return (x - self.mean) / self.scale

    def undo(self, x: Floats) -> Floats:
        """Return standard vectors (n × d) as they were."""
        return x * self.scale + self.mean


def standard(x: Floats) -> Standard:
    """Return what makes vectors (n × d) standard; equal vectors, but for rounding, keep scale 1."""
    mean = x.mean(axis=0)
    scale = float(np.sqrt(np.square(x - mean).mean()))
    return Standard(mean, scale if scale > 1e-12 * np.abs(x).max() else 1.0)


class Pairs(NamedTuple):
    """Standard vectors of training (n × s, n × t) and validation items (m × s, m × t)."""

    x: Floats
    y: Floats
    x_valid: Floats
    y_valid: Floats
    source: Standard
    target: Standard

    def linear(self, name: str, weight: Floats, **info: Any) -> Map:
        """Return the map x → x·weight (s × t) between standard vectors; all s·t + t fitted."""

        def function(x: Floats) -> Floats:
            return self.target.undo(self.source.apply(x) @ weight)

        width, targets = weight.shape
        return Map(name, {"parameters": (width + 1) * targets} | info, width, function)


def paired_vectors(
    source_train: ArrayLike,
    target_train: ArrayLike,
    source_valid: ArrayLike,
    target_valid: ArrayLike,
) -> Pairs:
    """Return the pairs in standard form.

    Raises
    ------
    InputError
        Matrices that are not finite, rows or widths that do not fit together, fewer than two
        training items or no validation item.
    """
    x, y = matrix(source_train), matrix(target_train)
    x_valid, y_valid = matrix(source_valid), matrix(target_valid)
    check_same_items(x, y)
    check_same_items(x_valid, y_valid)
    if x.shape[1] != x_valid.shape[1] or y.shape[1] != y_valid.shape[1]:
        raise InputError(
            f"training vectors of widths {x.shape[1]} and {y.shape[1]} were given with validation "
            f"vectors of widths {x_valid.shape[1]} and {y_valid.shape[1]}; give both from the same "
            "two views"
        )
    if len(x) < 2 or len(x_valid) < 1:
        raise InputError(
            f"{len(x)} training and {len(x_valid)} validation items were given; give at least two "
            "and one"
        )
    source, target = standard(x), standard(y)
    return Pairs(
        source.apply(x), target.apply(y), source.apply(x_valid), target.apply(y_valid),
        source, target,
    )  # fmt: skip


def check_same_items(x: Floats, y: Floats) -> None:
    """Refuse matrices of different numbers of rows.

    Raises
    ------
    InputError
        They differ.
    """
    if len(x) != len(y):
        raise InputError(
            f"source vectors of {len(x)} items were given with target vectors of {len(y)}; give "
            "both for the same items, row by row"
        )
