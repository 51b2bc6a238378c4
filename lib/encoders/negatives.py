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
    """One batch's negatives: m distinct items, and which of them each row must not be set against.

    ``rows`` and ``columns`` (ascending by row) are the pairs (batch row, pool column) where the
    row's user has that item among its training items.
    """

    items: Tensor  # m
    rows: Tensor
    columns: Tensor
    bounds: Tensor  # b + 1, on the CPU: where each row's pairs start
    choices: Tensor  # b × 8 random columns, for losses that need one negative a row

    def known(self, block: slice) -> tuple[Tensor, Tensor]:
        """Return (row within the block, column) of the pairs that must not count."""
        first, last = int(self.bounds[block.start]), int(self.bounds[block.stop])
        return self.rows[first:last] - block.start, self.columns[first:last]

    def one_each(self) -> Tensor:
        """Return one column per row (b), not known to the row's user.

        The first of eight random columns that is unknown is taken, so a draw fails only where a
        user has nearly every item; then the last choice stands.
        """
        width = len(self.items)
        known = self.rows * width + self.columns  # ascending only by row
        row = torch.arange(len(self.choices), device=self.items.device).unsqueeze(1)
        bad = torch.isin(row * width + self.choices, known)  # b × 8
        first = (~bad).to(torch.int8).argmax(1)
        return self.choices.gather(1, first.unsqueeze(1)).squeeze(1)


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

    counts = known.starts[users + 1] - known.starts[users]  # b
    row = torch.repeat_interleave(torch.arange(len(users), device=device), counts)
    ends = counts.cumsum(0)
    within = torch.arange(len(row), device=device) - (ends - counts)[row]
    column = column_of[known.items[known.starts[users][row] + within]]
    held = column >= 0
    row, column = row[held], column[held]
    per_row = torch.bincount(row, minlength=len(users)).cpu()
    bounds = torch.cat([torch.zeros(1, dtype=torch.int64), per_row.cumsum(0)])
    return Pool(items, row, column, bounds, choices)
