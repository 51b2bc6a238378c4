"""RLMRec-Con: LightGCN whose vectors are pulled towards mapped text (Ren et al. 2024)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.dataset import Dataset
from lib.encoders.lightgcn import LightGCN
from lib.encoders.linear import TextProfiles
from lib.encoders.training import Encoder, Recipe, Vectors, initial

CONTRASTED = 1024  # rows of a batch that are contrasted with each other
TEMPERATURE = 0.2  # of the alignment, as in the original


class RLMRec(Encoder):
    """LightGCN plus an alignment loss: each side's vector must recognise its own mapped text.

    Ranking uses the collaborative vectors alone, as in the original: text acts through the
    alignment only. The recipe's ``weight`` is the alignment's.
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
        self.collaborative = LightGCN(dataset, recipe, draw, device)
        self.profiles = TextProfiles(dataset, text, device, own=recipe.own_text)
        middle = (text.shape[1] + recipe.dimension) // 2
        self.inner = initial(text.shape[1], middle, draw)
        self.outer = initial(middle, recipe.dimension, draw)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return LightGCN's propagated vectors, n_users × d and n_items × d."""
        return self.collaborative.vectors()

    def auxiliary(self, users: Tensor, positives: Tensor, vectors: Vectors) -> Tensor | None:
        """Return the alignment: text against vectors, over distinct users and distinct items."""
        some, others = users[:CONTRASTED], positives[:CONTRASTED]
        by_user = self._contrast(vectors[0], some, self.profiles.to_learn(some, others))
        return by_user + self._contrast(vectors[1], others, self.profiles.items[others])

    def _contrast(self, vectors: Tensor, ids: Tensor, text: Tensor) -> Tensor:
        mapped = F.normalize(F.leaky_relu(text @ self.inner) @ self.outer, dim=1)  # c × d
        scores = mapped @ F.normalize(vectors[: len(ids)], dim=1).T / TEMPERATURE  # c × c
        own = torch.arange(len(ids), device=ids.device)
        # a row's own user or item elsewhere in the batch is no negative of it
        twin = (ids.unsqueeze(1) == ids.unsqueeze(0)).fill_diagonal_(False)
        return F.cross_entropy(scores.masked_fill(twin, -torch.inf), own)
