"""The one negative sampler: a pool of distinct uniform items, never a user's known positives.

Everything is index arithmetic on the training matrix, on the device of the tensors given.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.sparse import csr_matrix
from torch import Tensor


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
    table: Tensor  # distinct users × m, bool: False where the user has the item in training
    row_of: Tensor  # b, int64
    choices: Tensor  # b × 8 random columns, for losses that need one negative a row

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


def draw(known: Known, users: Tensor, size: int, generator: torch.Generator) -> Pool:
    """Draw a pool for a batch.

    Parameters
    ----------
    known
        The training matrix.
    users
        The batch's users (b, int64).
    size
        Wanted pool size m; at most the catalogue's.
    generator
        A CPU generator: one seed gives one pool on every device.
    """
    device = users.device
    size = min(size, known.n_items)
    items = torch.randperm(known.n_items, generator=generator)[:size].to(device)
    choices = torch.randint(size, (len(users), 8), generator=generator).to(device)
    column_of = torch.full((known.n_items,), -1, device=device)
    column_of[items] = torch.arange(size, device=device)

    distinct, row_of = torch.unique(users, return_inverse=True)
    counts = known.starts[distinct + 1] - known.starts[distinct]
    row = torch.repeat_interleave(torch.arange(len(distinct), device=device), counts)
    before = known.starts[distinct] - (counts.cumsum(0) - counts)
    column = column_of[known.items[before[row] + torch.arange(len(row), device=device)]]
    table = torch.ones(len(distinct), size, dtype=torch.bool, device=device)
    held = column >= 0
    table[row[held], column[held]] = False
    return Pool(items, table, row_of, choices)
