"""A collaborative alignment in the spirit of CARec (Wang et al. 2023), in one phase."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from lib.dataset import Dataset
from lib.encoders.lightgcn import Graph, propagate
from lib.encoders.linear import TwoLayers
from lib.encoders.losses import alignment, distinct, uniformity
from lib.encoders.training import Encoder, Recipe, Vectors, initial


class CARec(Encoder):
    """Free user vectors and mapped item texts in one space, propagated, and pulled together.

    As in CARec, an item is its frozen text, adapted by a small network, and has no free vector; a
    user is a free vector; both go through LightGCN's propagation, averaged over its layers;
    training aligns each user with its items by their squared distance at unit length, and keeps
    the side that learns apart by its uniformity.

    Three things differ. CARec trains in two phases, first the users towards the fixed texts, then
    the network towards the users; here both sides learn in every step, and both uniformities
    count. CARec minimises alignment and uniformity alone; here they are the auxiliary loss with
    the recipe's ``weight``, beside the recipe's ranking loss. CARec keeps the text's dimension;
    here the space has the recipe's, so that no budget is larger than another's. The network is
    AlphaRec's, without dropout.
    """

    def __init__(
        self, dataset: Dataset, recipe: Recipe, rng: Generator, device: torch.device, text: Tensor
    ) -> None:
        super().__init__()
        self.text = F.normalize(text, dim=1).to(device)  # n_items × w
        self.users = initial(dataset.n_users, recipe.dimension, rng)
        self.network = TwoLayers.halving(text.shape[1], recipe.dimension, rng)
        self.graph = Graph.of(dataset.train, device)
        self.layers = recipe.layers

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the propagated vectors, n_users × d and n_items × d."""
        return propagate(self.graph, self.users, self.network(self.text), self.layers)

    def auxiliary(self, users: Tensor, positives: Tensor, vectors: Vectors) -> Tensor | None:
        """Return the alignment of the batch's pairs plus the uniformity of either side."""
        apart = [uniformity(vectors[s][distinct(ids)]) for s, ids in enumerate((users, positives))]
        return alignment(vectors[0], vectors[1]) + apart[0] + apart[1]
