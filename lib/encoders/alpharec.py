"""AlphaRec: text through a small network, then propagated (Sheng et al. 2024)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.dataset import Dataset
from lib.encoders.lightgcn import Graph, propagate
from lib.encoders.linear import TextProfiles
from lib.encoders.training import Encoder, Recipe, initial


class AlphaRec(Encoder):
    """Items are a two-layer network over frozen text, users the same network over mean text.

    The network halves the text's width w, then goes to d, with a leaky rectifier between; both
    sides are then averaged over the layers of LightGCN's propagation.
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
        width = text.shape[1]
        self.profiles = TextProfiles(dataset, text, device)
        self.inner = initial(width, max(width // 2, recipe.dimension), draw)
        self.outer = initial(max(width // 2, recipe.dimension), recipe.dimension, draw)
        self.graph = Graph.of(dataset.train, device)
        self.layers = recipe.layers

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the propagated vectors, n_users × d and n_items × d."""
        users, items = (
            F.leaky_relu(side @ self.inner) @ self.outer
            for side in (self.profiles.users(), self.profiles.items)
        )
        return propagate(self.graph, users, items, self.layers)
