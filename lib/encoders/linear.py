"""Text branches: users' text profiles, the two-layer network, and the semantic view's linear map.

Shapes: w dimensions of text, d of the recipe, b users or positives in a batch.
"""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from lib.dataset import Dataset
from lib.encoders.training import Encoder, Recipe, Vectors, initial


class TextProfiles:
    """Users as sums of the unit text vectors of their training items.

    A sum normalises to the same direction as the mean, and lets a training pair leave its own
    item out: a user must not be described by the very item that is to be predicted. With ``own``
    it is, as in the paper's reference.
    """

    def __init__(
        self, dataset: Dataset, text: Tensor, device: torch.device, *, own: bool = False
    ) -> None:
        unit = F.normalize(text, dim=1)
        self.items = unit.to(device)  # n_items × w
        self.sums = torch.from_numpy(dataset.train @ unit.numpy()).to(device)  # n_users × w
        self.own = own

    def users(self) -> Tensor:
        """Return every user's unit profile (n_users × w)."""
        return F.normalize(self.sums, dim=1)

    def to_learn(self, users: Tensor, positives: Tensor) -> Tensor:
        """Return the unit profiles of ``users`` (b) without the positive at hand (b × w)."""
        if self.own:
            return F.normalize(self.sums[users], dim=1)
        return F.normalize(self.sums[users] - self.items[positives], dim=1)


class TwoLayers(nn.Module):
    """Text (n × w) through two matrices with a leaky rectifier between them, to n × d."""

    def __init__(self, w: int, hidden: int, d: int, rng: Generator) -> None:
        super().__init__()
        self.inner = initial(w, hidden, rng)
        self.outer = initial(hidden, d, rng)

    @classmethod
    def halving(cls, w: int, d: int, rng: Generator) -> Self:
        """Return AlphaRec's network: w/2 hidden dimensions, or d if that is more."""
        return cls(w, max(w // 2, d), d, rng)

    def forward(self, text: Tensor) -> Tensor:
        """Return the mapped text (n × d)."""
        return F.leaky_relu(text @ self.inner) @ self.outer


class Linear(Encoder):
    """Text vectors, and users' mean text, through one w × d matrix without a bias."""

    def __init__(
        self, dataset: Dataset, recipe: Recipe, rng: Generator, device: torch.device, text: Tensor
    ) -> None:
        super().__init__()
        self.profiles = TextProfiles(dataset, text, device, own=recipe.own_text)
        self.map = initial(text.shape[1], recipe.dimension, rng)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the mapped profiles and texts, n_users × d and n_items × d."""
        return self.profiles.users() @ self.map, self.profiles.items @ self.map

    def batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Vectors:
        """Map only what the batch needs, each user without the positive at hand."""
        items = self.profiles.items
        return (
            self.profiles.to_learn(users, positives) @ self.map,
            items[positives] @ self.map,
            items[negatives] @ self.map,
        )
