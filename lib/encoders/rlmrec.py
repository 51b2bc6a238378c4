"""RLMRec-Con: LightGCN whose vectors are pulled towards mapped text (Ren et al. 2024)."""

import torch
from torch import Generator, Tensor

from lib.dataset import Dataset
from lib.encoders.lightgcn import LightGCN
from lib.encoders.linear import TextProfiles, TwoLayers
from lib.encoders.losses import CONTRASTED, recognise
from lib.encoders.training import Encoder, Recipe, Vectors

TEMPERATURE = 0.2  # of the alignment, as in the original


class RLMRec(Encoder):
    """LightGCN plus an alignment loss: each side's vector must recognise its own mapped text.

    Ranking uses the collaborative vectors alone, as in the original: text acts through the
    alignment only. The recipe's ``weight`` is the alignment's.
    """

    def __init__(
        self, dataset: Dataset, recipe: Recipe, rng: Generator, device: torch.device, text: Tensor
    ) -> None:
        super().__init__()
        w, d = text.shape[1], recipe.dimension
        self.collaborative = LightGCN(dataset, recipe, rng, device)
        self.profiles = TextProfiles(dataset, text, device, own=recipe.own_text)
        self.network = TwoLayers(w, (w + d) // 2, d, rng)

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
