"""SimGCL: LightGCN whose vectors must recognise themselves under noise (Yu et al. 2022)."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from lib.core import whole_number
from lib.dataset import Dataset
from lib.encoders.lightgcn import LightGCN
from lib.encoders.losses import distinct, recognise
from lib.encoders.training import Encoder, Recipe, Vectors

RADIUS = 0.1  # length of the noise, as in the original
TEMPERATURE = 0.2  # of the contrast, as in the original


def noise(vectors: Tensor, radius: float, rng: Generator) -> Tensor:
    """Return noise of length ``radius`` in the orthant of each vector (n × d; Yu et al. 2022)."""
    # drawn on the CPU, so that a seed gives the same noise on every device
    uniform = torch.rand(vectors.shape, generator=rng).to(vectors.device)
    return radius * F.normalize(uniform, dim=1) * vectors.sign()


class SimGCL(Encoder):
    """LightGCN without layer 0, and a contrast between two propagations with fresh noise.

    As in the original, the clean mean over the layers 1 … L ranks, so an item without training
    interactions has zeros; a noisy propagation adds ``noise`` after each layer. The contrast is
    InfoNCE over the distinct users and items of a batch's first 1,024 rows. The ranking loss is the
    recipe's (the original: BPR).
    """

    def __init__(
        self, dataset: Dataset, recipe: Recipe, rng: Generator, device: torch.device
    ) -> None:
        super().__init__()
        whole_number("layers of SimGCL", recipe.layers)  # which leaves out layer 0
        self.base = LightGCN(dataset, recipe, rng, device)
        self.layers = recipe.layers
        # the weights are LightGCN's of the same seed; the noise has a stream of its own
        self.rng = torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=rng)))

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the clean vectors, n_users × d and n_items × d."""
        users, items = self.base.vectors()  # means over the layers 0 … L
        n = self.layers
        return ((n + 1) * users - self.base.users) / n, ((n + 1) * items - self.base.items) / n

    @torch.no_grad()
    def noisy(self) -> tuple[Tensor, Tensor]:
        """Return the vectors of one propagation with noise, n_users × d and n_items × d."""
        graph = self.base.graph
        users, items = self.base.users.detach(), self.base.items.detach()
        user_sum, item_sum = torch.zeros_like(users), torch.zeros_like(items)
        for _ in range(self.layers):
            users, items = graph.to_users(items), graph.to_items(users)
            users = users + noise(users, RADIUS, self.rng)
            items = items + noise(items, RADIUS, self.rng)
            user_sum += users
            item_sum += items
        return user_sum / self.layers, item_sum / self.layers

    def auxiliary(self, users: Tensor, positives: Tensor, vectors: Vectors) -> Tensor | None:
        """Return the contrast of two noisy propagations, over users and over items."""
        views = self.noisy(), self.noisy()
        total = vectors[0].new_zeros(())
        for side, ids in enumerate((users, positives)):
            rows = distinct(ids)
            clean = vectors[side][rows]  # c × d
            # signs have no gradient and propagation is linear, so what the noise adds is a
            # constant: a noisy view has the gradient of the clean one
            one, other = (clean + (view[side][ids[rows]] - clean).detach() for view in views)
            total = total + recognise(one, other, ids[rows], TEMPERATURE)
        return total
