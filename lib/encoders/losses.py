"""Negatives and losses: one sampler, two ranking losses, and the parts of auxiliary losses.

Shapes: b rows of a batch, m sampled negatives, c distinct users or items, d dimensions. Users and
positives are b × d, sampled items m × d. Everything runs on the device of the tensors given; random
numbers come from the CPU, so that a seed gives the same negatives everywhere.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Generator, Tensor

from lib.core import InputError

CONTRASTED = 1024  # rows of a batch that are compared with each other, which costs c²
ROWS = 512  # a block of 512 × 2,048 float32 scores stays in a core's second-level cache


# negatives


@dataclass(frozen=True)
class TrainItems:
    """The training interactions as tensors on the device."""

    starts: Tensor  # n_users + 1, int64: where each user's items start
    users: Tensor  # nnz, int64, ascending
    items: Tensor  # nnz, int64, ascending within a user
    n_items: int

    @classmethod
    def of(cls, train: csr_matrix, device: torch.device) -> Self:
        """Copy the pattern of ``train`` (n_users × n_items CSR, sorted indices)."""
        starts = torch.from_numpy(train.indptr.astype("int64")).to(device)
        items = torch.from_numpy(train.indices.astype("int64")).to(device)
        users = torch.repeat_interleave(torch.arange(train.shape[0], device=device), starts.diff())
        return cls(starts, users, items, train.shape[1])


class Excluded(NamedTuple):
    """Items that are no negatives, by rows of a mask: one per distinct user or batch row."""

    row_of: Tensor  # b, int64: the mask's row of each batch row
    row: Tensor  # n_pairs, int64
    item: Tensor  # n_pairs, int64


def exclude_known(train: TrainItems, users: Tensor) -> Excluded:
    """Exclude all training items of each batch row's user (b users)."""
    device = users.device
    distinct_users, row_of = torch.unique(users, return_inverse=True)
    counts = train.starts[distinct_users + 1] - train.starts[distinct_users]
    row = torch.repeat_interleave(torch.arange(len(distinct_users), device=device), counts)
    before = train.starts[distinct_users] - (counts.cumsum(0) - counts)
    return Excluded(row_of, row, train.items[before[row] + torch.arange(len(row), device=device)])


def exclude_positive(positives: Tensor) -> Excluded:
    """Exclude each batch row's own positive (b) alone, as the paper's reference does."""
    rows = torch.arange(len(positives), device=positives.device)
    return Excluded(rows, rows, positives)


@dataclass(frozen=True)
class Negatives:
    """One batch's negatives: m distinct items, and which of them count for which row."""

    items: Tensor  # m, int64
    mask: Tensor  # distinct rows × m, bool: False where the item is excluded
    row_of: Tensor  # b, int64: the mask's row of each batch row
    choices: Tensor  # b × 8 random columns, for losses that need one negative a row
    hardest: int = 0  # how many of a row's allowed items count, those of largest score; 0: all

    def allowed(self, block: slice) -> Tensor:
        """Return the mask of a block of the batch (rows × m, bool)."""
        return self.mask[self.row_of[block]]

    def one_each(self) -> Tensor:
        """Return the first allowed of each batch row's eight choices (b), or the first of all."""
        allowed = self.mask[self.row_of.unsqueeze(1), self.choices]  # b × 8
        first = allowed.to(torch.int8).argmax(1, keepdim=True)
        return self.choices.gather(1, first).squeeze(1)


def sample(
    excluded: Excluded, n_items: int, size: int, rng: Generator, *, first: int = 0, hardest: int = 0
) -> Negatives:
    """Sample at most ``size`` negatives of a batch uniformly without replacement.

    ``first`` is the smallest item id to be drawn; ``hardest`` as in ``Negatives``.
    """
    if first >= n_items:
        raise InputError(
            f"first_negative = {first} was given for a catalogue of {n_items} items; give less"
        )
    device = excluded.row_of.device
    size = min(size, n_items - first)
    items = (torch.randperm(n_items - first, generator=rng)[:size] + first).to(device)
    choices = torch.randint(size, (len(excluded.row_of), 8), generator=rng).to(device)
    column_of = torch.full((n_items,), -1, device=device)
    column_of[items] = torch.arange(size, device=device)
    column = column_of[excluded.item]
    mask = torch.ones(int(excluded.row_of.max()) + 1, size, dtype=torch.bool, device=device)
    sampled = column >= 0
    mask[excluded.row[sampled], column[sampled]] = False
    return Negatives(items, mask, excluded.row_of, choices, hardest)


# ranking losses


class _FusedInfoNCE(torch.autograd.Function):
    """InfoNCE of unit vectors, with its gradient made in the same pass over the scores.

    Scores are cosines over the temperature, hence bounded, so no maximum is subtracted; each
    block of rows is multiplied, exponentiated and used for both value and gradient while it is
    in cache, and the b × m matrix never exists.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, users: Tensor, positives: Tensor, items: Tensor, negatives: Negatives,
        temperature: float,
    ) -> Tensor:  # fmt: skip
        rows = ROWS if users.device.type == "cpu" else len(users)
        positive = (users * positives).sum(1).div_(temperature)  # b
        logarithms = torch.empty_like(positive)  # b
        pull = torch.empty_like(positive)  # b: 1 − probability of the positive
        to_users = torch.empty_like(users)  # b × d
        to_items = torch.zeros_like(items)  # m × d
        scaled = items.T / temperature  # d × m
        for start in range(0, len(users), rows):
            block = slice(start, min(start + rows, len(users)))
            weights = (users[block] @ scaled).exp_()  # rows × m
            _keep(weights, negatives.allowed(block))
            if 0 < negatives.hardest < weights.shape[1]:
                largest = weights.topk(negatives.hardest, sorted=False).values  # half the time
                _keep(weights, weights >= largest.amin(1, keepdim=True))
            total = weights.sum(1).add_(positive[block].exp())
            logarithms[block] = total.log()
            pull[block] = 1 - positive[block].exp() / total
            inverse = total.reciprocal_().unsqueeze(1)
            to_users[block] = (weights @ items).mul_(inverse)
            to_items.addmm_(weights.T, users[block] * inverse)
        scale = 1 / (temperature * len(users))
        pull = pull.unsqueeze(1) * scale  # b × 1
        ctx.save_for_backward(
            to_users.mul_(scale).sub_(pull * positives), -pull * users, to_items.mul_(scale)
        )
        return (logarithms - positive).mean()

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        return *(upstream[0] * gradient for gradient in ctx.saved_tensors), None, None


def _keep(weights: Tensor, kept: Tensor) -> None:
    """Set to zero, in place, what is not kept (the same shape, bool)."""
    weights.mul_(kept.view(torch.uint8))  # measured five times as fast as by the same bools


def infonce(
    users: Tensor, positives: Tensor, items: Tensor, negatives: Negatives, temperature: float
) -> Tensor:
    """Return the mean InfoNCE loss (van den Oord et al. 2018) on cosines over ``temperature``.

    What ``negatives`` excludes for a row is left out of its sum, and all but the ``hardest`` of
    largest cosine where that is set.
    """
    unit = [F.normalize(x, dim=1) for x in (users, positives, items)]
    return _FusedInfoNCE.apply(*unit, negatives, temperature)  # type: ignore[no-any-return]


def bpr(
    users: Tensor, positives: Tensor, items: Tensor, negatives: Negatives, temperature: float
) -> Tensor:
    """Return the mean Bayesian personalised ranking loss (Rendle et al. 2009).

    Each row's positive is compared with one allowed negative; scores are inner products, divided
    by ``temperature`` (1 in the original).
    """
    difference = (users * (positives - items[negatives.one_each()])).sum(1) / temperature
    return F.softplus(-difference).mean()


LOSSES: dict[str, Callable[..., Tensor]] = {"infonce": infonce, "bpr": bpr}
COSINE = ("infonce",)  # losses that compare cosines, so that vectors rank at unit length


# parts of auxiliary losses


def distinct(ids: Tensor) -> Tensor:
    """Return the row of each distinct id's first occurrence among a batch's first rows (b → c)."""
    head = ids[:CONTRASTED]
    found, position = torch.unique(head, return_inverse=True)
    rows = torch.arange(len(head), device=ids.device)
    return torch.full_like(found, len(head)).scatter_reduce(0, position, rows, "amin")


def recognise(queries: Tensor, keys: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """Return the mean InfoNCE loss by which each query must find its own key among all c.

    Queries and keys are c × d, scores cosines over ``temperature`` (van den Oord et al. 2018);
    another row with the same id (c) is no negative.
    """
    scores = F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T / temperature  # c × c
    same = (ids.unsqueeze(1) == ids.unsqueeze(0)).fill_diagonal_(False)
    own = torch.arange(len(scores), device=scores.device)
    return F.cross_entropy(scores.masked_fill(same, -torch.inf), own)


def alignment(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean squared distance, 0 to 4, of paired unit vectors (Wang and Isola 2020)."""
    return 2 - 2 * F.cosine_similarity(one, other, dim=1).mean()


def uniformity(vectors: Tensor) -> Tensor:
    """Return log mean exp(−2 ‖x − y‖²) over all pairs of different rows (c × d), at unit length.

    From −8, two opposite ones, to 0, all the same or one alone (Wang and Isola 2020, with t = 2).
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
    """Return the squared Frobenius norm of the covariance of unit vectors c × d and c × e.

    From 0, no linear relation between any two dimensions, to 1.
    """
    centred = [unit - unit.mean(0) for unit in (F.normalize(x, dim=1) for x in (one, other))]
    return (centred[0].T @ centred[1] / len(one)).square().sum()
