"""Users' text profiles, and the semantic view: one linear map of text.

Shapes: w dimensions of text, d of the recipe, b users or positives in a batch.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from lib.dataset import Dataset
from lib.encoders.training import Encoder, Recipe, Vectors, initial


class TextProfiles:
    """Users as sums of the unit text vectors of their training items.

    A training pair leaves its own item out, so that no user is described by the very item that is
    to be predicted; with ``own`` it stays in, as in the paper's reference.
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
        left_out = 0 if self.own else self.items[positives]
        return F.normalize(self.sums[users] - left_out, dim=1)


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
        items, mine = self.profiles.items, self.profiles.to_learn(users, positives)
        return mine @ self.map, items[positives] @ self.map, items[negatives] @ self.map
