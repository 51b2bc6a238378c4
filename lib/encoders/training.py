"""The one training loop, with the one selection rule, that every trained encoder goes through.

Shapes: n_users users, n_items items, b positives a batch, m negatives, d dimensions.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from tqdm import tqdm

from lib.core import InputError, generator, torch_generator
from lib.dataset import Dataset
from lib.encoders import losses
from lib.metrics import ndcg, recall
from lib.topk import topk

Metric = Callable[..., np.ndarray]
SELECT: dict[str, Metric] = {"recall": recall, "ndcg": ndcg}
VALIDATION_K = 20
VALIDATION_USERS = 10_000  # enough for a standard error under 0.004; all of them on small sets

Vectors = tuple[Tensor, Tensor, Tensor]
"""What a loss compares: users b × d, positives b × d, negatives m × d."""


@dataclass(frozen=True)
class Recipe:
    """The settings of a training; the defaults are the equal budget of all compared models."""

    dimension: int = 64
    layers: int = 2
    loss: str = "infonce"
    temperature: float = 0.15
    batch: int = 8192
    negatives: int = 2048
    learning_rate: float = 5e-3
    weight_decay: float = 0.0  # decoupled from the gradient (Loshchilov and Hutter 2019)
    epochs: int = 200
    patience: int = 5  # validations without a new best before the training stops
    weight: float = 0.1  # of an auxiliary loss, where the model has one
    # choices of protocol: the defaults are ours, and chapter 13 compares the reference's
    hardest: int = 0  # negatives of a row that count, those of the largest scores; 0: all
    excluded: str = "known"  # no negatives of a row: its user's "known" items, or its "positive"
    first_negative: int = 0  # the smallest item id that is ever a negative
    own_text: bool = False  # a user's text includes the positive that is being learned
    select: str = "recall"  # the validation score @20 that selects: recall or ndcg
    every: int = 1  # epochs from one validation to the next

    def checked(self) -> Self:
        """Return the recipe, or say in one sentence which value is out of bounds."""
        least: dict[str, float] = {
            "dimension": 1, "layers": 0, "temperature": 0.02, "batch": 1, "negatives": 1,
            "learning_rate": 1e-9, "weight_decay": 0, "epochs": 1, "patience": 1, "weight": 0,
            "hardest": 0, "first_negative": 0, "every": 1,
        }  # fmt: skip
        for name, bound in least.items():
            value, kind = getattr(self, name), type(getattr(Recipe, name))  # of the default
            accepted = isinstance(value, int | kind) and not isinstance(value, bool)
            if not accepted or not bound <= value < math.inf:
                number = "a whole number" if kind is int else "a number"
                raise InputError(f"{name} = {value!r} was given; it must be {number} ≥ {bound:g}")
        choices: dict[str, tuple[object, ...]] = {
            "loss": tuple(sorted(losses.LOSSES)), "excluded": ("known", "positive"),
            "own_text": (False, True), "select": tuple(SELECT),
        }  # fmt: skip
        for name, words in choices.items():
            if getattr(self, name) not in words:
                told = f"{name} = {getattr(self, name)!r} is not known"
                raise InputError(f"{told}; choose one of {', '.join(map(repr, words))}")
        return self


class Encoder(nn.Module):
    """A model with trainable parameters that gives every user and item a vector."""

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return all user (n_users × d) and item vectors (n_items × d), before any scaling."""
        raise NotImplementedError

    def batch(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Vectors:
        """Return the vectors a loss compares, of ids of users, positives (b each) and negatives."""
        u, i = self.vectors()
        p, n = F.embedding(torch.cat([positives, negatives]), i).tensor_split([len(positives)])
        return F.embedding(users, u), p, n

    def auxiliary(self, users: Tensor, positives: Tensor, vectors: Vectors) -> Tensor | None:
        """Return a further loss of what ``batch`` gave, weighted by the recipe, or None."""
        return None

    def finish(self, users: Tensor, items: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
        """Scale the vectors to what the loss compared, so that inner products rank."""
        if recipe.loss in losses.COSINE:
            return F.normalize(users, dim=1), F.normalize(items, dim=1)
        return users, items


def initial(rows: int, columns: int, rng: Generator) -> nn.Parameter:
    """Return a rows × columns parameter by Glorot and Bengio's uniform rule."""
    bound = (6 / (rows + columns)) ** 0.5
    return nn.Parameter((torch.rand(rows, columns, generator=rng) * 2 - 1) * bound)


def validation_users(dataset: Dataset) -> np.ndarray:
    """Return the users that models are selected on: the same ones for every model and seed."""
    able = np.flatnonzero(np.diff(dataset.valid.indptr))
    if len(able) == 0:
        told = f"dataset {dataset.name!r} has no validation item, so no model can be selected"
        raise InputError(f"{told}; give users at least three interactions each")
    return np.sort(generator(0, "validation users").permutation(able)[:VALIDATION_USERS])


def validation_score(
    dataset: Dataset, users: Tensor, items: Tensor, subset: np.ndarray, metric: Metric = recall
) -> float:
    """Return a metric's mean @20 on the validation items of the users ``subset``."""
    k = min(VALIDATION_K, dataset.n_items)
    found = topk(users[subset], items, k, exclude=dataset.train[subset])
    return float(np.nanmean(metric(found.items.numpy(), dataset.valid[subset])))


def fit_encoder(
    make: Callable[..., Encoder], dataset: Dataset, recipe: Recipe, *source: Tensor, seed: int,
    device: torch.device,
) -> tuple[Tensor, Tensor, dict[str, Any]]:  # fmt: skip
    """Return what ``train`` does, of an encoder with the seed's initial weights."""
    encoder = make(dataset, recipe, torch_generator(seed, "initial weights"), device, *source)
    return train(encoder, dataset, recipe, seed=seed, device=device)


def train(
    encoder: Encoder, dataset: Dataset, recipe: Recipe, *, seed: int, device: torch.device
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Train until the validation score has not risen ``patience`` times; return the first best.

    That is user and item vectors on the CPU (float32), and ``validation`` (the score @20),
    ``epochs`` (to the best), ``history`` (of all validations), ``seconds``, ``n_parameters``,
    ``device``.
    """
    started = time.perf_counter()
    encoder.to(device)
    optimiser = torch.optim.AdamW(
        encoder.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    known, rng = losses.TrainItems.of(dataset.train, device), torch_generator(seed, "batches")
    subset = validation_users(dataset)
    # only the default batch gives a user one vector: another may leave the positive out of it
    apart = type(encoder).batch is not Encoder.batch
    history: list[float] = []
    best, best_at = (torch.empty(0), torch.empty(0)), 0
    label = f"{dataset.name} {type(encoder).__name__} seed {seed}"
    for epoch in (bar := tqdm(range(1, recipe.epochs + 1), desc=label, unit="epoch", disable=None)):
        for users, positives, negatives in _batches(known, recipe, rng, apart):
            optimiser.zero_grad(set_to_none=True)
            vectors = encoder.batch(users, positives, negatives.items)
            loss = losses.LOSSES[recipe.loss](*vectors, negatives, recipe.temperature)
            extra = encoder.auxiliary(users, positives, vectors)
            (loss if extra is None else loss + recipe.weight * extra).backward()
            optimiser.step()
        if epoch % recipe.every and epoch != recipe.epochs:
            continue
        current = _snapshot(encoder, recipe)
        history.append(validation_score(dataset, *current, subset, SELECT[recipe.select]))
        best_at = int(np.argmax(history))  # the first of equal ones
        since = len(history) - 1 - best_at
        if since == 0:
            best = current
        bar.set_postfix(recall=f"{history[-1]:.4f}", best=f"{history[best_at]:.4f}", since=since)
        if since >= recipe.patience:
            break
    return *best, {
        "validation": history[best_at],
        "epochs": min((best_at + 1) * recipe.every, recipe.epochs),
        "history": history,
        "seconds": time.perf_counter() - started,
        "n_parameters": sum(p.numel() for p in encoder.parameters()),
        "device": device.type,
    }


def _batches(
    known: losses.TrainItems, recipe: Recipe, rng: Generator, apart: bool
) -> Iterator[tuple[Tensor, Tensor, losses.Negatives]]:
    """Yield the training pairs in a new order, each batch with its negatives."""
    order = torch.randperm(len(known.items), generator=rng).to(known.items.device)
    for rows in order.split(recipe.batch):
        users, positives = known.users[rows], known.items[rows]
        if recipe.excluded == "known":
            excluded = losses.exclude_known(known, users)
        else:
            excluded = losses.exclude_positive(positives)
        size, first, hardest = recipe.negatives, recipe.first_negative, recipe.hardest
        negatives = losses.sample(
            excluded, known.catalogue, size, rng, first=first, hardest=hardest, apart=apart
        )
        yield users, positives, negatives


@torch.no_grad()
def _snapshot(encoder: Encoder, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Return copies on the CPU of the vectors as they rank now."""
    encoder.eval()
    users, items = encoder.finish(*encoder.vectors(), recipe)
    encoder.train()
    return users.float().cpu().clone(), items.float().cpu().clone()
