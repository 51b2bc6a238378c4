"""Models of two branches: their norm-concat, and one that aligns their shared parts alone."""

from dataclasses import replace
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from lib.core import InputError
from lib.dataset import Dataset
from lib.encoders.lightgcn import LightGCN
from lib.encoders.linear import Linear
from lib.encoders.losses import alignment, cross_covariance, distinct
from lib.encoders.training import Encoder, Recipe, Vectors


class _Branches(Encoder):
    """A LightGCN and a linear text branch, whose vectors ``join`` makes one."""

    share: Fraction  # of the recipe's dimensions that each branch has

    def __init__(
        self, dataset: Dataset, recipe: Recipe, rng: Generator, device: torch.device, text: Tensor
    ) -> None:
        super().__init__()
        dimension = recipe.dimension * self.share
        if dimension.denominator > 1:
            told = f"dimension = {recipe.dimension} was given to {type(self).__name__}"
            told += f", whose two branches have {self.share} of it each"
            raise InputError(f"{told}; give a multiple of {self.share.denominator}")
        branch = replace(recipe, dimension=int(dimension))
        self.collaborative = LightGCN(dataset, branch, rng, device)
        self.semantic = Linear(dataset, branch, rng, device, text)
        self.branches: tuple[Vectors, Vectors]  # of the latest batch, text first

    def join(self, text: Tensor, free: Tensor) -> Tensor:
        """Return one side's vectors from those of the text and the collaborative branch."""
        raise NotImplementedError

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the joined vectors, n_users × d and n_items × d."""
        sides = zip(self.semantic.vectors(), self.collaborative.vectors(), strict=True)
        users, items = (self.join(text, free) for text, free in sides)
        return users, items

    def batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Vectors:
        """Join the two branches' vectors of the batch, each user's text without the positive."""
        ids = users, positives, negatives
        # kept for the auxiliary loss: a second propagation would double the cost of a step
        self.branches = self.semantic.batch(*ids), self.collaborative.batch(*ids)
        u, p, n = (self.join(text, free) for text, free in zip(*self.branches, strict=True))
        return u, p, n


class Joint(_Branches):
    """Both branches normalised and concatenated: their score is the mean of the two cosines."""

    share = Fraction(1, 2)

    def join(self, text: Tensor, free: Tensor) -> Tensor:
        """Return the concatenated unit vectors (n × d)."""
        return torch.cat([F.normalize(free, dim=1), F.normalize(text, dim=1)], dim=1)


class SharedPrivate(_Branches):
    """A linear text branch and a LightGCN branch, each with a shared and a private part.

    Our own model, the paper's picture taken literally. With t for text, c for collaborative, s
    and p for a branch's shared and private part (d/2 and d/4), every part at unit length::

        score(u, i) = ⅓ [ cos(s_u, s_i) + cos(p_u^t, p_i^t) + cos(p_u^c, p_i^c) ]
        s           = (s^t + s^c) / 2
        auxiliary   = mean ‖s^t − s^c‖²  +  ‖Cov(s^t, p^t)‖²  +  ‖Cov(s^c, p^c)‖²

    over a batch's distinct users and items: only the shared parts are pulled together, and a
    private part is kept from repeating its own branch's shared one.
    """

    share = Fraction(3, 4)

    def join(self, text: Tensor, free: Tensor) -> Tensor:
        """Return the mean shared part and the two private ones side by side (n × d)."""
        (shared_text, private_text), (shared_free, private_free) = map(self._parts, (text, free))
        shared = F.normalize((shared_text + shared_free) / 2, dim=1)
        return torch.cat([shared, private_text, private_free], dim=1)

    def auxiliary(self, users: Tensor, positives: Tensor, vectors: Vectors) -> Tensor | None:
        """Return the alignment of the shared parts plus the covariances with the private ones."""
        total = vectors[0].new_zeros(())
        for side, ids in enumerate((users, positives)):
            rows = distinct(ids)
            parts = [self._parts(branch[side][rows]) for branch in self.branches]
            total = total + alignment(parts[0][0], parts[1][0])
            total = total + sum(cross_covariance(shared, private) for shared, private in parts)
        return total

    def _parts(self, branch: Tensor) -> tuple[Tensor, Tensor]:
        """Return a branch's shared and private part at unit length (n × d/2 and n × d/4)."""
        shared, private = branch.tensor_split([2 * branch.shape[1] // 3], dim=1)
        return F.normalize(shared, dim=1), F.normalize(private, dim=1)
