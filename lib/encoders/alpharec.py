"""AlphaRec: text through a small network, then propagated (Sheng et al. 2024)."""

import torch
from torch import Generator, Tensor

from lib.dataset import Dataset
from lib.encoders.lightgcn import Graph, propagate
from lib.encoders.linear import TextProfiles, TwoLayers
from lib.encoders.training import Encoder, Recipe


class AlphaRec(Encoder):
    """Items are a two-layer network over frozen text, users the same network over mean text.

    The network halves the text's dimension w before it goes to d; both sides are then averaged
    over the layers of LightGCN's propagation.
    """

    def __init__(
        self, dataset: Dataset, recipe: Recipe, rng: Generator, device: torch.device, text: Tensor
    ) -> None:
        super().__init__()
        self.profiles = TextProfiles(dataset, text, device)
        self.network = TwoLayers.halving(text.shape[1], recipe.dimension, rng)
        self.graph = Graph.of(dataset.train, device)
        self.layers = recipe.layers

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the propagated vectors, n_users × d and n_items × d."""
        users, items = map(self.network, (self.profiles.users(), self.profiles.items))
        return propagate(self.graph, users, items, self.layers)
