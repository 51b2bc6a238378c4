"""Negatives and losses: one sampler, two ranking losses, and the parts of auxiliary losses.

Shapes: b rows of a batch in q groups, m sampled negatives, c distinct users or items, d dimensions.
Users and positives are b × d, sampled items m × d. Everything runs on the device of the tensors
given; random numbers come from the CPU, so that a seed gives the same negatives everywhere.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Generator, Tensor

from lib.core import InputError

CONTRASTED = 1024  # rows of a batch that are compared with each other, which costs c²
ROWS = 256  # groups a block: larger ones leave the cache between their products


# negatives


@dataclass(frozen=True)
class TrainItems:
    """The training interactions as tensors on the device."""

    starts: Tensor  # n_users + 1, int64: where each user's items start
    users: Tensor  # nnz, int64, ascending
    items: Tensor  # nnz, int64, ascending within a user
    catalogue: Tensor  # int64, ascending: the distinct items, of which negatives are drawn

    @classmethod
    def of(cls, train: csr_matrix, device: torch.device) -> Self:
        """Copy the pattern of ``train`` (n_users × n_items CSR, sorted indices)."""
        starts = torch.from_numpy(train.indptr.astype("int64")).to(device)
        items = torch.from_numpy(train.indices.astype("int64")).to(device)
        users = torch.repeat_interleave(torch.arange(train.shape[0], device=device), starts.diff())
        return cls(starts, users, items, items.unique())


Excluded = tuple[Tensor, Tensor, Tensor]
"""Each row's group (b), rows of one user vector; then pairs of a group, ascending, and an item."""


def exclude_known(train: TrainItems, users: Tensor) -> Excluded:
    """Exclude all training items of each batch row's user (b), whose rows are one group."""
    asked, group_of = torch.unique(users, return_inverse=True)
    starts = train.starts[asked]
    group, at = _members(starts, train.starts[asked + 1] - starts)
    return group_of, group, train.items[at]


def _members(starts: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the group and the place of each member of groups that lie at ``starts``."""
    group = torch.repeat_interleave(counts)
    before = starts - (counts.cumsum(0) - counts)
    return group, before[group] + torch.arange(len(group), device=group.device)


def exclude_positive(positives: Tensor) -> Excluded:
    """Exclude each batch row's own positive (b) alone, as the paper's reference does."""
    rows = torch.arange(len(positives), device=positives.device)
    return rows, rows, positives


@dataclass(frozen=True)
class Negatives:
    """One batch's negatives: m distinct items, and which of them do not count for which group."""

    items: Tensor  # m, int64
    group_of: Tensor  # b, int64: the group of each batch row, 0 … q − 1
    group: Tensor  # n_pairs, int64, ascending
    column: Tensor  # n_pairs, int64: the excluded column of ``items``
    choices: Tensor  # b × 8 random columns, for losses that need one negative a row
    hardest: int = 0  # how many of a row's allowed items count, those of largest score; 0: all

    def allowed(self) -> Tensor:
        """Return which items count for which group (q × m, bool)."""
        shape = int(self.group_of.max()) + 1, len(self.items)
        mask = torch.ones(shape, dtype=torch.bool, device=self.items.device)
        mask[self.group, self.column] = False
        return mask

    def one_each(self) -> Tensor:
        """Return the first allowed of each batch row's eight choices (b), or the first of all."""
        allowed = self.allowed()[self.group_of.unsqueeze(1), self.choices]  # b × 8
        first = allowed.to(torch.int8).argmax(1, keepdim=True)
        return self.choices.gather(1, first).squeeze(1)


def sample(
    excluded: Excluded, catalogue: Tensor, size: int, rng: Generator, *, first: int = 0,
    hardest: int = 0, apart: bool = False,
) -> Negatives:  # fmt: skip
    """Sample at most ``size`` negatives, uniformly without replacement, of ids from ``first``.

    Where rows are ``apart``, each becomes a group, with what was excluded for its own.

    The catalogue has the items of the training interactions: one that nobody is known to have may
    be new, so it is no negative.
    """
    offered = catalogue[catalogue >= first]
    if not len(offered):
        told = f"first_negative = {first} was given; the largest id of an item in training is"
        raise InputError(f"{told} {int(catalogue.max())}; give at most that")
    group_of, group, item = excluded
    device = item.device
    size = min(size, len(offered))
    items = offered[torch.randperm(len(offered), generator=rng)[:size].to(device)]
    choices = torch.randint(size, (len(group_of), 8), generator=rng).to(device)
    column_of = torch.full((int(catalogue[-1]) + 1,), -1, device=device)
    column_of[items] = torch.arange(size, device=device)
    column = column_of[item]
    kept = (column >= 0).nonzero().squeeze(1)
    group, column = group[kept], column[kept]
    if apart:  # only now: a user's items are many times as many when each row has them
        counts = group.bincount(minlength=int(group_of.max()) + 1)
        group, at = _members((counts.cumsum(0) - counts)[group_of], counts[group_of])
        group_of, column = torch.arange(len(group_of), device=device), column[at]
    return Negatives(items, group_of, group, column, choices, hardest)


# ranking losses


class _FusedInfoNCE(torch.autograd.Function):
    """InfoNCE on cosines (bounded: no maximum to subtract), its gradient made in the same pass."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, users: Tensor, positives: Tensor, items: Tensor, negatives: Negatives,
        temperature: float,
    ) -> Tensor:  # fmt: skip
        given = users, positives, items
        lengths = [torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_(1e-12) for x in given]
        units = u, p, n = [x / length for x, length in zip(given, lengths, strict=True)]
        of, scores = negatives.group_of, (u * p).sum(1).div_(temperature)  # b
        order, ends = of.argsort(stable=True), of.bincount().cumsum(0)  # by group; group ends
        groups, own = u[order[ends - 1]], scores.exp()  # q × d, b
        totals, to_groups = torch.empty_like(own), torch.empty_like(groups)
        to_items = torch.zeros_like(n.T)  # d × m, for which the product is faster
        scaled = n.T / (temperature * math.log(2))  # d × m, for powers of 2
        size = ROWS if u.device.type == "cpu" else len(groups)
        for start in range(0, len(groups), size):
            block = slice(start, min(start + size, len(groups)))
            weights = _weights(groups[block] @ scaled, block, negatives)  # groups × m
            rows = order[ends[start - 1] if start else 0 : ends[block.stop - 1]]
            at = of[rows] - start
            totals[rows] = weights.sum(1)[at].add_(own[rows])
            share = own.new_zeros(len(weights)).index_add_(0, at, 1 / totals[rows])
            torch.mm(weights, n, out=to_groups[block])
            to_items.addmm_((groups[block] * share.unsqueeze(1)).T, weights)
        pull = (1 - own / totals).unsqueeze(1)  # b × 1: 1 − probability of the positive
        to_users = to_groups[of].div_(totals.unsqueeze(1)).sub_(pull * p)
        saved = [to_users, u * pull.neg_(), to_items.T]
        for slope, unit, length in zip(saved, units, lengths, strict=True):
            slope -= unit * (slope * unit).sum(1, keepdim=True)  # no gradient along a vector
            slope /= length * (temperature * len(users))
        ctx.save_for_backward(*saved)
        return (totals.log() - scores).mean()

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        return *(upstream[0] * gradient for gradient in ctx.saved_tensors), None, None


def _weights(scores: Tensor, block: slice, negatives: Negatives) -> Tensor:
    """Return 2 to the scores of a block of groups (groups × m), 0 where no negative; in place."""
    ends = torch.tensor([block.start, block.stop], device=scores.device)
    pairs = slice(*torch.searchsorted(negatives.group, ends).tolist())
    weights = scores.exp2_()
    weights[negatives.group[pairs] - block.start, negatives.column[pairs]] = 0
    if 0 < negatives.hardest < weights.shape[1]:
        largest = weights.topk(negatives.hardest, sorted=False).values  # half the time
        kept = weights >= largest.amin(1, keepdim=True)
        weights.mul_(kept.view(torch.uint8))  # measured five times as fast as by the same bools
    return weights


def infonce(
    users: Tensor, positives: Tensor, items: Tensor, negatives: Negatives, temperature: float
) -> Tensor:
    """Return the mean InfoNCE loss (van den Oord et al. 2018) on cosines over ``temperature``.

    A group's scores are computed once. What ``negatives`` excludes for it is left out of its sum,
    and all but the ``hardest`` of largest cosine where that is set.
    """
    loss: Tensor = _FusedInfoNCE.apply(users, positives, items, negatives, temperature)
    return loss


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
    pairs = exponents.fill_diagonal_(-torch.inf)
    return pairs.flatten().logsumexp(0) - math.log(count * (count - 1))


def cross_covariance(one: Tensor, other: Tensor) -> Tensor:
    """Return the squared Frobenius norm (0 to 1) of the covariance of unit vectors c × d, c × e."""
    centred = [unit - unit.mean(0) for unit in (F.normalize(x, dim=1) for x in (one, other))]
    return (centred[0].T @ centred[1] / len(one)).square().sum()
