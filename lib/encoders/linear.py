"""Users' text profiles, and the semantic view: one linear map of text.

Shapes: w dimensions of text, d of the recipe, b users or positives in a batch.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from lib.core import InputError
from lib.dataset import Dataset
from lib.encoders.losses import COSINE
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
        given = unit.any(1).float()  # n_items: 0 where an item has no text
        sums, texts = (torch.from_numpy(dataset.train @ of.numpy()) for of in (unit, given))
        self.items, self.sums = unit.to(device), sums.to(device)  # n_items × w, n_users × w
        self.given, self.texts = given.to(device), texts.to(device)  # n_items, n_users
        self.own = own

    def users(self) -> Tensor:
        """Return every user's unit profile (n_users × w)."""
        return F.normalize(self.sums, dim=1)

    def to_learn(self, users: Tensor, positives: Tensor) -> Tensor:
        """Return the unit profiles of ``users`` (b) without the positive at hand (b × w)."""
        left_out = 0 if self.own else self.items[positives]
        return F.normalize(self.sums[users] - left_out, dim=1)

    def remain(self, users: Tensor, positives: Tensor) -> Tensor:
        """Return 1 where a user has a text beside the positive's, and 0 elsewhere (b × 1)."""
        return (self.texts[users] > self.given[positives]).float().unsqueeze(1)


class Linear(Encoder):
    """Text vectors, and users' summed text, through one w × d matrix without a bias."""

    def __init__(
        self, dataset: Dataset, recipe: Recipe, rng: Generator, device: torch.device, text: Tensor
    ) -> None:
        super().__init__()
        if recipe.loss not in COSINE:
            told = f"loss = {recipe.loss!r} was given to a linear map of text, which learns from"
            raise InputError(f"{told} cosines; choose one of {', '.join(map(repr, COSINE))}")
        self.profiles = TextProfiles(dataset, text, device, own=recipe.own_text)
        self.map = initial(text.shape[1], recipe.dimension, rng)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the mapped profiles and texts, n_users × d and n_items × d."""
        return self.profiles.users() @ self.map, self.profiles.items @ self.map

    def batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Vectors:
        """Map what the batch needs, each user without the positive at hand.

        The map of a difference is the difference of maps, and cosines ignore a user's length: so
        each distinct user and item is mapped once, not once a pair.
        """
        items = self._mapped(self.profiles.items, torch.cat([positives, negatives]))
        p, n = items.tensor_split([len(positives)])
        mine = self._mapped(self.profiles.sums, users)
        if not self.profiles.own:
            # where nothing remains, what rounding leaves must not become a direction
            mine = (mine - p) * self.profiles.remain(users, positives)
        return mine, p, n

    def _mapped(self, text: Tensor, ids: Tensor) -> Tensor:
        found, at = torch.unique(ids, return_inverse=True)
        return F.embedding(at, text[found] @ self.map)
