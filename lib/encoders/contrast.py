"""Losses between vectors of the same users or items, over the distinct ones of a batch.

Shapes: b rows of a batch, c distinct users or items, d dimensions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

CONTRASTED = 1024  # rows of a batch that are looked at: what is compared in pairs costs c²


def distinct(ids: Tensor) -> Tensor:
    """Return where each distinct id stands first among a batch's first rows (b → c)."""
    head = ids[:CONTRASTED]
    found, place = torch.unique(head, return_inverse=True)
    rows = torch.arange(len(head), device=ids.device)
    return torch.full_like(found, len(head)).scatter_reduce(0, place, rows, "amin")


def recognise(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Return the mean InfoNCE loss by which each query must find its own key among all c.

    Both c × d; scores are cosines over ``temperature`` (van den Oord et al. 2018, eq. 4).
    """
    scores = F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T / temperature  # c × c
    return F.cross_entropy(scores, torch.arange(len(scores), device=scores.device))


def alignment(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean squared distance of the unit vectors of paired rows (b × d each): 0 to 4.

    Twice one minus the cosine (Wang and Isola 2020, eq. 1 with α = 2).
    """
    return 2 - 2 * F.cosine_similarity(one, other, dim=1).mean()


def uniformity(vectors: Tensor) -> Tensor:
    """Return log mean exp(−2 ‖x − y‖²) over all pairs of different rows, at unit length.

    The vectors are c × d; from −8, two opposite ones, to 0, where all are the same (Wang and
    Isola 2020, eq. 2 with t = 2). One row alone has no pair, and gives 0.
    """
    count = len(vectors)
    if count < 2:
        return vectors.new_zeros(())
    unit = F.normalize(vectors, dim=1)
    exponents = 4 * (unit @ unit.T) - 4  # −2 ‖x − y‖² of unit vectors, c × c
    itself = torch.eye(count, dtype=torch.bool, device=vectors.device)
    pairs = exponents.masked_fill(itself, -torch.inf)
    return pairs.flatten().logsumexp(0) - math.log(count * (count - 1))


def cross_covariance(one: Tensor, other: Tensor) -> Tensor:
    """Return the squared Frobenius norm of the covariance between two sets of unit vectors.

    ``one`` is c × d and ``other`` c × e, with a common row for each user or item; from 0, no
    linear relation between any two dimensions, to 1.
    """
    centred = [unit - unit.mean(0) for unit in (F.normalize(x, dim=1) for x in (one, other))]
    return (centred[0].T @ centred[1] / len(one)).square().sum()
