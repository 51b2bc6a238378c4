"""What the chapters on probes share: vectors of a seed, maps fitted once and kept, seeds summed up.

A map's predictions are kept by what decides them, so that chapters share fits and a run that was
killed goes on where it was.
"""

from __future__ import annotations

from typing import NamedTuple

from torch.nn.functional import normalize

from lib import canonical, maps, network, pairs, probes, store
from lib.chapter import Run
from lib.encoders import text
from lib.encoders.training import device_of
from lib.item_splits import ItemSplit
from lib.probes import Recovery
from lib.vectors import Floats, matrix

PROJECTED, RAW = "semantic view", "raw text"
"""What maps start from: the text after the semantic view's projection, and before it."""


class Bench(NamedTuple):
    """The vectors of one seed; ``sources`` has those of ``PROJECTED`` and of ``RAW``."""

    seed: int
    sources: dict[str, Floats]
    target: Floats
    """n_items × t, of the collaborative view."""
    second: Floats
    """n_items × t, of the same model trained with another seed."""
    users: Floats
    """n_users × t, of the collaborative view."""


def bench(run: Run, seed: int) -> Bench:
    """Return the vectors of a training seed of a run."""
    raw = normalize(text.encode(run.dataset, run.parameters["encoder"]), dim=1)
    view, second = run.view("lightgcn", seed), run.view("lightgcn", run.other(seed))
    sources = {PROJECTED: run.view("linear", seed).items, RAW: raw}
    return Bench(
        seed,
        {name: matrix(vectors.numpy()) for name, vectors in sources.items()},
        matrix(view.items.numpy()),
        matrix(second.items.numpy()),
        matrix(view.users.numpy()),
    )


def recover(
    run: Run, name: str, source: Floats, target: Floats, split: ItemSplit, seed: int,
    *, shuffled: bool = False,
) -> Recovery:  # fmt: skip
    """Return ``probes.recover`` for the map of that name, fitted now or read from the store.

    Parameters
    ----------
    run
        Its ``epochs`` (the most that a network is trained for) and ``device`` are for networks.
    name
        One of ``lib.maps.MAPS``.
    source, target
        n_items × s and n_items × t.
    shuffled
        Whether training pairs are permuted, which gives the floor.

    Raises
    ------
    InputError
        As ``probes.recover``, or an unknown map.
    """
    epochs, device = run.parameters["epochs"], device_of(run.parameters["device"]).type
    fit = maps.named(name, epochs=epochs, device=device)
    x, y, ordered = probes.checked(source, target, split)
    key = {
        "dataset": run.dataset.name,
        "model": name,
        "seed": seed,
        "permuted": shuffled,
        "training": [epochs, device] if name in maps.NETWORKS else None,
        "data": store.digest(x, y, ordered.train, ordered.valid),
        "code": store.code_version(maps, network, pairs, canonical),
    }

    def make() -> store.Value:
        way = maps.permuted(fit) if shuffled else fit
        found = probes.recover(source, target, split, way, seed=seed)
        return {"guess": found.guess, "info": dict(found.info)}

    kept = store.remember("map", key, make)
    return Recovery(name, kept["info"], ordered, y, kept["guess"])
