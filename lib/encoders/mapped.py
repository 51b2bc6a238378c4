"""Models in which a small network maps text: AlphaRec, RLMRec-Con and one in CARec's spirit."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from lib.dataset import Dataset
from lib.encoders.lightgcn import Graph, LightGCN, propagate
from lib.encoders.linear import TextProfiles
from lib.encoders.losses import CONTRASTED, alignment, distinct, recognise, uniformity
from lib.encoders.training import Encoder, Recipe, Vectors, initial

TEMPERATURE = 0.2  # of RLMRec's alignment, as in the original


class TwoLayers(nn.Module):
    """Text (n × w) through two matrices with a leaky rectifier between them, to n × d.

    By default the inner dimension is AlphaRec's: w/2, or d if that is more.
    """

    def __init__(self, w: int, d: int, rng: Generator, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or max(w // 2, d)
        self.inner = initial(w, hidden, rng)
        self.outer = initial(hidden, d, rng)

    def forward(self, text: Tensor) -> Tensor:
        """Return the mapped text (n × d)."""
        return F.leaky_relu(text @ self.inner) @ self.outer


class AlphaRec(Encoder):
    """A two-layer network maps frozen text to items, and users' mean text to users.

    Both are averaged over the layers of LightGCN's propagation (Sheng et al. 2024).
    """

    def __init__(
        self, dataset: Dataset, recipe: Recipe, rng: Generator, device: torch.device, text: Tensor
    ) -> None:
        super().__init__()
        self.profiles = TextProfiles(dataset, text, device)
        self.network = TwoLayers(text.shape[1], recipe.dimension, rng)
        self.graph, self.layers = Graph.of(dataset.train, device), recipe.layers

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the propagated vectors, n_users × d and n_items × d."""
        users, items = map(self.network, (self.profiles.users(), self.profiles.items))
        return propagate(self.graph, users, items, self.layers)


class RLMRec(Encoder):
    """LightGCN plus an alignment loss: each mapped text must recognise its own side's vector.

    Ranking uses the collaborative vectors alone, as in RLMRec-Con (Ren et al. 2024): text acts
    through the alignment only. The recipe's ``weight`` is the alignment's.
    """

    def __init__(
        self, dataset: Dataset, recipe: Recipe, rng: Generator, device: torch.device, text: Tensor
    ) -> None:
        super().__init__()
        w, d = text.shape[1], recipe.dimension
        self.collaborative = LightGCN(dataset, recipe, rng, device)
        self.profiles = TextProfiles(dataset, text, device, own=recipe.own_text)
        self.network = TwoLayers(w, d, rng, hidden=(w + d) // 2)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return LightGCN's propagated vectors, n_users × d and n_items × d."""
        return self.collaborative.vectors()

    def auxiliary(self, users: Tensor, positives: Tensor, vectors: Vectors) -> Tensor | None:
        """Return the alignment of mapped text with vectors, over the users and over the items."""
        u, i = users[:CONTRASTED], positives[:CONTRASTED]
        texts = self.profiles.to_learn(u, i), self.profiles.items[i]
        by_user, by_item = (
            recognise(self.network(text), side[: len(ids)], ids, TEMPERATURE)
            for text, side, ids in zip(texts, vectors[:2], (u, i), strict=True)
        )
        return by_user + by_item


class CARec(Encoder):
    """Free user vectors and mapped item texts in one space, propagated, and pulled together.

    As in CARec (Wang et al. 2023), an item is its frozen text, adapted by a network (AlphaRec's),
    and a user a free vector; both are propagated, aligned by squared distance at unit length, and
    spread out by a uniformity loss. CARec itself trains the users before the network, by these two
    losses alone, in the text's dimension; here both train at once and the losses are auxiliary.
    """

    def __init__(
        self, dataset: Dataset, recipe: Recipe, rng: Generator, device: torch.device, text: Tensor
    ) -> None:
        super().__init__()
        self.text = F.normalize(text, dim=1).to(device)  # n_items × w
        self.users = initial(dataset.n_users, recipe.dimension, rng)
        self.network = TwoLayers(text.shape[1], recipe.dimension, rng)
        self.graph, self.layers = Graph.of(dataset.train, device), recipe.layers

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the propagated vectors, n_users × d and n_items × d."""
        return propagate(self.graph, self.users, self.network(self.text), self.layers)

    def auxiliary(self, users: Tensor, positives: Tensor, vectors: Vectors) -> Tensor | None:
        """Return the alignment of the batch's pairs plus the uniformity of each side."""
        apart = [uniformity(vectors[s][distinct(ids)]) for s, ids in enumerate((users, positives))]
        return alignment(vectors[0], vectors[1]) + apart[0] + apart[1]
