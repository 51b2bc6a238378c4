"""The one negative sampler: a pool of distinct uniform items, never a user's known positives.

Everything is index arithmetic on the training matrix, on the device of the tensors given.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor

from lib.core import InputError


@dataclass(frozen=True)
class Known:
    """The training matrix as two tensors on the device: where each user's items start, and they."""

    starts: Tensor  # n_users + 1, int64
    items: Tensor  # nnz, int64, ascending within a user
    n_items: int

    @classmethod
    def of(cls, train: csr_matrix, device: torch.device) -> Known:
        """Copy the pattern of ``train`` (n_users × n_items CSR, sorted indices)."""
        starts = torch.from_numpy(train.indptr.astype("int64")).to(device)
        items = torch.from_numpy(train.indices.astype("int64")).to(device)
        return cls(starts, items, train.shape[1])


@dataclass(frozen=True)
class Pool:
    """One batch's negatives: m distinct items, and which of them each user may be set against.

    A batch of b rows holds few distinct users on dense data, so the table of what is allowed has
    one row per distinct user, and ``row_of`` says which is a batch row's.
    """

    items: Tensor  # m, int64
    table: Tensor  # distinct rows × m, bool: False where the row is never set against the item
    row_of: Tensor  # b, int64
    choices: Tensor  # b × 8 random columns, for losses that need one negative a row
    hardest: int = 0  # how many of a row's allowed items count, those of largest score; 0: all

    def allowed(self, block: slice) -> Tensor:
        """Return the table's rows for a block of the batch (rows × m, bool)."""
        return self.table[self.row_of[block]]

    def one_each(self) -> Tensor:
        """Return one allowed column per batch row (b).

        The first allowed of eight random columns is taken, so a draw fails only where a user has
        nearly every item; then the first stands.
        """
        allowed = self.table[self.row_of.unsqueeze(1), self.choices]  # b × 8
        first = allowed.to(torch.int8).argmax(1, keepdim=True)
        return self.choices.gather(1, first).squeeze(1)


class Never(NamedTuple):
    """Which items a batch row is never set against: pairs of a table's row and an item."""

    row_of: Tensor  # b, int64: the table's row of each batch row
    row: Tensor  # n_pairs, int64
    item: Tensor  # n_pairs, int64


def known_items(known: Known, users: Tensor) -> Never:
    """Return all training items of each batch row's user (b users)."""
    device = users.device
    distinct, row_of = torch.unique(users, return_inverse=True)
    counts = known.starts[distinct + 1] - known.starts[distinct]
    row = torch.repeat_interleave(torch.arange(len(distinct), device=device), counts)
    before = known.starts[distinct] - (counts.cumsum(0) - counts)
    return Never(row_of, row, known.items[before[row] + torch.arange(len(row), device=device)])


def positives_alone(positives: Tensor) -> Never:
    """Return each batch row's own positive (b), as the paper's reference does it."""
    rows = torch.arange(len(positives), device=positives.device)
    return Never(rows, rows, positives)


def draw(
    never: Never, n_items: int, size: int, generator: torch.Generator, *, first: int = 0
) -> Pool:
    """Draw a pool for a batch.

    Parameters
    ----------
    never
        What its rows are never set against.
    n_items
        Size of the catalogue.
    size
        Wanted pool size m; at most the catalogue's.
    generator
        A CPU generator: one seed gives one pool on every device.
    first
        The smallest item id to be drawn.

    Raises
    ------
    InputError
        ``first`` is beyond the catalogue.
    """
    if first >= n_items:
        raise InputError(
            f"first_negative = {first} was given for a catalogue of {n_items} items; give less"
        )
    device = never.row_of.device
    size = min(size, n_items - first)
    items = (torch.randperm(n_items - first, generator=generator)[:size] + first).to(device)
    choices = torch.randint(size, (len(never.row_of), 8), generator=generator).to(device)
    column_of = torch.full((n_items,), -1, device=device)
    column_of[items] = torch.arange(size, device=device)
    column = column_of[never.item]
    table = torch.ones(int(never.row_of.max()) + 1, size, dtype=torch.bool, device=device)
    held = column >= 0
    table[never.row[held], column[held]] = False
    return Pool(items, table, never.row_of, choices)


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


CONTRASTED = 1024  # rows of a batch that are looked at: what is compared in pairs costs c²


def distinct(ids: Tensor) -> Tensor:
    """Return where each distinct id stands first among a batch's first rows (b → c)."""
    head = ids[:CONTRASTED]
    found, place = torch.unique(head, return_inverse=True)
    rows = torch.arange(len(head), device=ids.device)
    return torch.full_like(found, len(head)).scatter_reduce(0, place, rows, "amin")


def recognise(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Return the mean InfoNCE loss by which each query must find its own key among all c.

    Both c × d; scores are cosines over ``temperature`` (van den Oord et al. 2018).
    """
    scores = F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T / temperature  # c × c
    return F.cross_entropy(scores, torch.arange(len(scores), device=scores.device))


def alignment(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean squared distance of the unit vectors of paired rows (b × d each): 0 to 4.

    Twice one minus the cosine (Wang and Isola 2020, with α = 2).
    """
    return 2 - 2 * F.cosine_similarity(one, other, dim=1).mean()


def uniformity(vectors: Tensor) -> Tensor:
    """Return log mean exp(−2 ‖x − y‖²) over all pairs of different rows, at unit length.

    The vectors are c × d; from −8, two opposite ones, to 0, where all are the same (Wang and
    Isola 2020, with t = 2). One row alone has no pair, and gives 0.
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
