"""The one negative sampler: a pool of distinct uniform items, never a user's known positives.

Everything is index arithmetic on the training matrix, on the device of the tensors given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from lib.errors import InputError


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
