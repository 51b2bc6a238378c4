"""A view: one vector per user and per item whose inner product ranks, made once and cached."""

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lib import cache
from lib.core import InputError, check_seed, check_type, device_of, shown, whole_number
from lib.dataset import Dataset
from lib.encoders import closed, text
from lib.encoders.joint import Joint, SharedPrivate
from lib.encoders.lightgcn import LightGCN
from lib.encoders.linear import Linear
from lib.encoders.mapped import AlphaRec, CARec, RLMRec
from lib.encoders.simgcl import SimGCL
from lib.encoders.training import Recipe, fit_encoder
from lib.topk import checked_vectors, topk


@dataclass(frozen=True)
class View:
    """Users (n_users × d) and items (n_items × d), float32 on the CPU, and what made them.

    The score of user u and item i is ``users[u] @ items[i]``. ``info`` has model, dataset, seed,
    parameters, and, where the model is selected or trained, validation (Recall@20), seconds,
    epochs, n_parameters and device.
    """

    users: Tensor
    items: Tensor
    info: dict[str, Any]

    def __post_init__(self) -> None:
        check_type("info", self.info, dict)
        users, items = checked_vectors(self.users, self.items)
        object.__setattr__(self, "users", users)
        object.__setattr__(self, "items", items)


@dataclass(frozen=True)
class Model:
    """How a model is made, whether it reads text, and where its settings are not the recipe's."""

    make: Callable[..., Any]
    text: bool = False
    defaults: tuple[tuple[str, Any], ...] = ()


_BPR = (("loss", "bpr"), ("temperature", 1.0), ("patience", 10))

TRAINED: dict[str, Model] = {
    "lightgcn": Model(LightGCN),
    "lightgcn-bpr": Model(LightGCN, defaults=_BPR),
    "mf-bpr": Model(LightGCN, defaults=(*_BPR, ("layers", 0))),
    "simgcl": Model(SimGCL),
    "linear": Model(Linear, text=True),
    "alpharec": Model(AlphaRec, text=True),
    "rlmrec": Model(RLMRec, text=True),
    "carec": Model(CARec, text=True),
    "joint": Model(Joint, text=True),
    "shared-private": Model(SharedPrivate, text=True),
}
SOLVED: dict[str, Model] = {
    "svd": Model(closed.truncated_svd),
    "ease": Model(closed.ease),
    "l3ae": Model(closed.l3ae, text=True),
    "textgcn": Model(closed.textgcn, text=True),
    "text-mean": Model(closed.text_mean, text=True),
    "popularity": Model(closed.popularity),
    "random": Model(closed.random),
}


def models() -> list[str]:
    """Return the names of all models."""
    return [*TRAINED, *SOLVED]


def makers(model: str) -> tuple[Callable[..., Any], ...]:
    """Return the functions that make a model's vectors; its cache key has their code's version."""
    spec = (TRAINED | SOLVED)[model]
    trained, reads = [fit_encoder] * (model in TRAINED), [text.encode] * spec.text
    return (spec.make, *trained, *reads)


def fit(
    dataset: Dataset, model: str, *,
    seed: int = 0, device: str = "auto", encoder: str = "minilm", **parameters: Any,
) -> View:  # fmt: skip
    """Return the view of ``model``, one of ``models()``, made now or read from the cache.

    Only training items are learned from, and validation selects. ``seed`` decides initial weights,
    batch order, negatives and random solvers, not the split; ``device`` is auto, cpu or cuda;
    ``encoder`` is that of ``lib.encoders.text.encode``, for models that read text. ``parameters``
    are fields of ``lib.encoders.training.Recipe`` for a trained model, keywords of its function for
    a solved one.
    """
    settings = settings_of(model, parameters)
    spec = (TRAINED | SOLVED)[model]
    check_type("dataset", dataset, Dataset)
    check_type("encoder", encoder, str)
    check_seed(seed)
    seed, target = int(seed), device_of(device)  # a NumPy seed is the same fit
    key = {
        "dataset": dataset.name,
        "data": dataset.interactions_digest,
        "model": model,
        "seed": seed,
        "settings": settings,
        "text": text.digest_of(dataset, encoder) if spec.text else None,
        "device": target.type,
        "code": cache.code_version(*makers(model)),
    }

    def make() -> cache.Value:
        source = (text.encode(dataset, encoder),) if spec.text else ()
        if model in TRAINED:
            users, items, info = fit_encoder(
                spec.make, dataset, Recipe(**settings), *source, seed=seed, device=target
            )
        else:
            users, items, info = spec.make(dataset, seed, *source, **settings)
        return {"users": users.numpy(), "items": items.numpy(), "info": info}

    value = cache.cached("view", key, make)
    users, items = (torch.from_numpy(value[side]) for side in ("users", "items"))
    info = {"model": model, "dataset": dataset.name, "seed": seed, "parameters": settings}
    info |= {"encoder": encoder} if spec.text else {}
    return View(users, items, info | value["info"])


def settings_of(model: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the full settings of a fit: defaults, then what was given, checked."""
    spec = (TRAINED | SOLVED).get(model) if isinstance(model, str) else None
    if spec is None:
        known = ", ".join(models())
        raise InputError(f"model {shown(model)!r} is not known; choose one of {known}")
    made_by = Recipe if model in TRAINED else spec.make
    accepted = set(inspect.signature(made_by).parameters) - {"dataset", "seed", "text"}
    if unknown := sorted(set(given) - accepted):
        told = f"model {model!r} has no parameter {unknown[0]!r}"
        raise InputError(f"{told}; it accepts {', '.join(sorted(accepted)) or 'none'}")
    settings = dict(spec.defaults) | given
    if model not in TRAINED:
        for name, value in given.items():
            whole_number(name, value)
            settings[name] = int(value)
        return settings
    for name, value in given.items():
        if not isinstance(value, str | int | float) or (type(value) is int and abs(value) > 10**8):
            raise InputError(f"{name} = {shown(value)} was given; give a word or a usual number")
    recipe = asdict(Recipe(**settings).checked())
    # a weight of 1 and one of 1.0 are the same fit
    kinds = {field.name: field.type for field in fields(Recipe)}
    return {name: float(v) if kinds[name] is float else v for name, v in recipe.items()}


def lists(
    view: View, dataset: Dataset, k: int, *, part: Literal["test", "valid"] = "test"
) -> np.ndarray:
    """Return every user's best ``k`` items (n_users × k int32, −1 where there are fewer).

    Training and validation items are left out at test, training items at validation.
    """
    whole_number("k", k)
    check_type("view", view, View)
    check_type("dataset", dataset, Dataset)
    if k > dataset.n_items:
        told = f"k = {k} was given; dataset {dataset.name!r} accepts 1 to {dataset.n_items}"
        raise InputError(f"{told} (its number of items)")
    if not isinstance(part, str) or part not in ("test", "valid"):
        raise InputError(f"part {shown(part)!r} was given; give 'test' or 'valid'")
    seen = dataset.seen if part == "test" else dataset.train
    return np.asarray(topk(view.users, view.items, k, exclude=seen).items)
