"""A collaborative alignment in the spirit of CARec (Wang et al. 2023), in one phase."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.dataset import Dataset
from lib.encoders.lightgcn import Graph, propagate
from lib.encoders.losses import alignment, distinct, uniformity
from lib.encoders.training import Encoder, Recipe, Vectors, initial


class CARec(Encoder):
    """Free user vectors and mapped item texts in one space, propagated, and pulled together.

    It follows CARec in this: an item is its frozen text and has no free vector; a user is a free
    vector; both go through LightGCN's propagation, averaged over its layers; a small network
    adapts the text; the training aligns each user with its items by their squared distance at
    unit length, and keeps the side that learns apart by its uniformity.

    It differs in this: CARec trains in two phases, first the users towards the fixed texts, then
    the network towards the users. Here both sides learn at once, so users are drawn to items and
    items to users in every step, and both sides' uniformities count. CARec minimises alignment
    and uniformity alone; here the recipe's ranking loss comes first, as for every model, and
    theirs is the auxiliary loss with the recipe's ``weight``. The space has the recipe's
    dimensions where CARec keeps the text's own width, so that no budget is larger than another's,
    and the network is the one of the AlphaRec page, without dropout.
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
        middle = max(width // 2, recipe.dimension)
        self.text = F.normalize(text, dim=1).to(device)  # n_items × w
        self.users = initial(dataset.n_users, recipe.dimension, draw)
        self.inner = initial(width, middle, draw)
        self.outer = initial(middle, recipe.dimension, draw)
        self.graph = Graph.of(dataset.train, device)
        self.layers = recipe.layers

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the propagated vectors, n_users × d and n_items × d."""
        items = F.leaky_relu(self.text @ self.inner) @ self.outer
        return propagate(self.graph, self.users, items, self.layers)

    def auxiliary(self, users: Tensor, positives: Tensor, vectors: Vectors) -> Tensor | None:
        """Return the alignment of the batch's pairs plus the uniformity of either side."""
        apart = [uniformity(vectors[s][distinct(ids)]) for s, ids in enumerate((users, positives))]
        return alignment(vectors[0], vectors[1]) + apart[0] + apart[1]
