"""LightGCN: the collaborative view (He et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.data import Dataset
from lib.encoders.graph import Graph, propagate
from lib.encoders.training import Encoder, Recipe, initial


class LightGCN(Encoder):
    """Free vectors for users and items, averaged over the layers of a linear propagation."""

    def __init__(
        self, dataset: Dataset, recipe: Recipe, draw: torch.Generator, device: torch.device
    ) -> None:
        super().__init__()
        self.users = initial(dataset.n_users, recipe.dimension, draw)
        self.items = initial(dataset.n_items, recipe.dimension, draw)
        self.graph = Graph.of(dataset.train, device)
        self.layers = recipe.layers

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the propagated vectors, n_users × d and n_items × d."""
        return propagate(self.graph, self.users, self.items, self.layers)
