"""Norm-concat-norm: a LightGCN branch and a linear text branch, trained end to end."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.data import Dataset
from lib.encoders.lightgcn import LightGCN
from lib.encoders.linear import Linear
from lib.encoders.training import Encoder, Recipe, Vectors
from lib.errors import InputError


class Joint(Encoder):
    """Both branches normalised and concatenated: their score is the mean of the two cosines.

    Each branch has half of the recipe's dimensions, so that the model is no wider than the
    views it is compared with.
    """

    def __init__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        draw: torch.Generator,
        device: torch.device,
        text: Tensor,
    ) -> None:
        super().__init__()
        if recipe.dimension % 2:
            raise InputError(
                f"dimension = {recipe.dimension} was given to the joint model, whose two branches "
                "have half of it each; give an even number"
            )
        half = replace(recipe, dimension=recipe.dimension // 2)
        self.collaborative = LightGCN(dataset, half, draw, device)
        self.semantic = Linear(dataset, half, draw, device, text)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the concatenated unit vectors, n_users × d and n_items × d."""
        users, items = zip(self.collaborative.vectors(), self.semantic.vectors(), strict=True)
        return _concatenated(users), _concatenated(items)

    def batch(self, users: Tensor, positives: Tensor, pool: Tensor) -> Vectors:
        """Concatenate the two branches' vectors of the batch."""
        one = self.collaborative.batch(users, positives, pool)
        other = self.semantic.batch(users, positives, pool)
        u, p, n = (_concatenated(pair) for pair in zip(one, other, strict=True))
        return u, p, n


def _concatenated(parts: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([F.normalize(part, dim=1) for part in parts], dim=1)
