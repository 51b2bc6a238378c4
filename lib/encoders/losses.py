"""Ranking losses over one batch of positives and one pool of negatives that the batch shares.

Shapes: b positives, m pooled negatives, d dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.encoders.negatives import Pool

ROWS = 512  # a block of 512 × 2,048 float32 scores stays in a core's second-level cache


class Value(Protocol):
    """Users b × d, positives b × d and pooled negatives m × d to a scalar."""

    def __call__(  # noqa: D102
        self, users: Tensor, positives: Tensor, negatives: Tensor, pool: Pool, temperature: float
    ) -> Tensor: ...


class Loss(NamedTuple):
    """A loss and the scaling under which its vectors rank."""

    value: Value
    finish: Callable[[Tensor], Tensor]


class _FusedInfoNCE(torch.autograd.Function):
    """InfoNCE of unit vectors, with its gradient made in the same pass over the scores.

    Scores are cosines over the temperature, hence bounded, so no maximum is subtracted; each
    block of rows is multiplied, exponentiated and used for both value and gradient while it is
    in cache, and the b × m matrix never exists.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        users: Tensor,
        positives: Tensor,
        negatives: Tensor,
        pool: Pool,
        temperature: float,
    ) -> Tensor:
        rows = ROWS if users.device.type == "cpu" else len(users)
        positive = (users * positives).sum(1).div_(temperature)  # b
        logarithms = torch.empty_like(positive)  # b
        pull = torch.empty_like(positive)  # b: 1 − probability of the positive
        to_users = torch.empty_like(users)  # b × d
        to_negatives = torch.zeros_like(negatives)  # m × d
        scaled = negatives.T / temperature  # d × m
        for start in range(0, len(users), rows):
            block = slice(start, min(start + rows, len(users)))
            weights = (users[block] @ scaled).exp_()  # rows × m
            _keep(weights, pool.allowed(block))
            if 0 < pool.hardest < weights.shape[1]:
                largest = weights.topk(pool.hardest, sorted=False).values  # unsorted: half the time
                _keep(weights, weights >= largest.amin(1, keepdim=True))
            total = weights.sum(1).add_(positive[block].exp())
            logarithms[block] = total.log()
            pull[block] = 1 - positive[block].exp() / total
            inverse = total.reciprocal_().unsqueeze(1)
            to_users[block] = (weights @ negatives).mul_(inverse)
            to_negatives.addmm_(weights.T, users[block] * inverse)
        scale = 1 / (temperature * len(users))
        pull = pull.unsqueeze(1) * scale  # b × 1
        ctx.save_for_backward(
            to_users.mul_(scale).sub_(pull * positives), -pull * users, to_negatives.mul_(scale)
        )
        return (logarithms - positive).mean()

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        return *(upstream[0] * gradient for gradient in ctx.saved_tensors), None, None


def _keep(weights: Tensor, kept: Tensor) -> None:
    """Set to zero, in place, what is not kept (the same shape, bool)."""
    weights.mul_(kept.view(torch.uint8))  # measured five times as fast as by the same bools


def infonce(
    users: Tensor, positives: Tensor, negatives: Tensor, pool: Pool, temperature: float
) -> Tensor:
    """Return the mean InfoNCE loss (van den Oord et al. 2018) on cosines over ``temperature``.

    Users and positives b × d, negatives m × d; pooled items that a row's user is known to like
    are left out of its sum, and all but the ``pool.hardest`` of largest cosine where that is set.
    """
    unit = [F.normalize(x, dim=1) for x in (users, positives, negatives)]
    return _FusedInfoNCE.apply(*unit, pool, temperature)  # type: ignore[no-any-return]


def bpr(
    users: Tensor, positives: Tensor, negatives: Tensor, pool: Pool, temperature: float
) -> Tensor:
    """Return the mean Bayesian personalised ranking loss (Rendle et al. 2009).

    Each row is set against one pooled item that its user is not known to like; scores are inner
    products and ``temperature`` divides them (1 in the original).
    """
    column = pool.one_each()
    difference = (users * (positives - negatives[column])).sum(1) / temperature
    return F.softplus(-difference).mean()


def _unit(vectors: Tensor) -> Tensor:
    return F.normalize(vectors, dim=1)


def _as_they_are(vectors: Tensor) -> Tensor:
    return vectors


LOSSES = {"infonce": Loss(infonce, _unit), "bpr": Loss(bpr, _as_they_are)}
