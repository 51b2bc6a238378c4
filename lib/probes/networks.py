"""Maps that are trained: networks with ReLU between layers, squared error and Adam.

They are fits as those of ``lib.probes.maps``. Shapes: n training items, s and t the dimensions of
source and target.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.nn.utils import skip_init
from tqdm import tqdm

from lib.core import Floats, device_of, torch_generator, whole_number
from lib.probes.maps import Map, PairedVectors

EPOCHS, BATCH, LEARNING_RATE = 400, 1024, 1e-3

HIDDEN = {"MLP-1": (512,), "MLP-2": (2048, 2048), "MLP-3": (2048, 2048, 2048)}
"""Dimensions of the hidden layers of the reference's networks."""


def fit_mlp(
    pairs: PairedVectors, *, seed: int = 0, hidden: tuple[int, ...] = HIDDEN["MLP-3"],
    patience: int = 10, epochs: int = EPOCHS, device: str = "auto",
) -> Map:  # fmt: skip
    """Fit a network, stopped early on the validation items.

    Trained as ``fit_mlp_reference``, but on standard vectors, and until the squared error on the
    validation items has not fallen for ``patience`` epochs (at most ``epochs``); the weights of the
    best epoch are kept. ``info`` has that epoch as ``epochs``, and the validation error of every
    epoch (in standard units, where the training mean has about 1) as ``validation``.
    """
    whole_number("patience", patience)
    on, name = device_of(device), _name(hidden)
    x, y, x_valid, y_valid = (_tensor(z, on) for z in pairs.standard())
    errors: list[float] = []
    best = 0
    for epoch, model in _trained(x, y, hidden, seed=seed, name=name, epochs=epochs):
        with torch.no_grad():
            errors.append(float(mse_loss(model(x_valid), y_valid)))
        if errors[-1] == min(errors):
            best, kept = epoch, deepcopy(model)
        elif epoch - best >= patience:
            break

    def function(x: Floats) -> Floats:
        return pairs.target.undo(_predict(kept, pairs.source.apply(x)))

    info = {"parameters": _size(kept), "epochs": best, "validation": errors}
    return Map(name, info, x.shape[1], function)


def fit_mlp_reference(
    pairs: PairedVectors, *, seed: int = 0, hidden: tuple[int, ...] = HIDDEN["MLP-3"],
    epochs: int = EPOCHS, device: str = "auto",
) -> Map:  # fmt: skip
    """Fit a network as the paper's reference does; ``hidden=()`` is its linear map.

    Mean squared error on the vectors as they are, Adam at 1e-3, batches of 1,024 in an order drawn
    anew every epoch, 400 ``epochs`` and no earlier stop: validation items are ignored.
    """
    on, name = device_of(device), f"{_name(hidden)}, reference"
    x, y = _tensor(pairs.x, on), _tensor(pairs.y, on)
    *_, (_, model) = _trained(x, y, hidden, seed=seed, name=name, epochs=epochs)
    info = {"parameters": _size(model), "epochs": epochs}
    return Map(name, info, x.shape[1], partial(_predict, model))


def network(dimensions: Sequence[int], *, seed: int) -> nn.Sequential:
    """Return a network whose weights and biases are uniform within ±1/√(inputs), torch's own rule.

    ``dimensions`` are those of the input, of each hidden layer and of the output.
    """
    rng = torch_generator(seed, "map: initial weights")
    layers: list[nn.Module] = []
    for a, b in pairwise(dimensions):
        layer = skip_init(nn.Linear, a, b)  # torch's own draws are those of its global generator
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_((2 * torch.rand(parameter.shape, generator=rng) - 1) * a**-0.5)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _trained(
    x: Tensor, y: Tensor, hidden: tuple[int, ...], *, seed: int, name: str, epochs: int
) -> Iterator[tuple[int, nn.Module]]:
    """Train on x (n × s) and y (n × t), yielding each epoch's number and the one network."""
    whole_number("hidden dimension", *hidden)
    whole_number("epochs", epochs)
    model = network((x.shape[1], *hidden, y.shape[1]), seed=seed).to(x.device)
    rng = torch_generator(seed, "map: batches")
    optimiser = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)
    for epoch in tqdm(range(1, epochs + 1), desc=name, unit="epoch", delay=3, disable=None):
        for rows in torch.randperm(len(x), generator=rng).to(x.device).split(BATCH):
            optimiser.zero_grad()
            mse_loss(model(x[rows]), y[rows]).backward()
            optimiser.step()
        yield epoch, model


@torch.no_grad()
def _predict(model: nn.Module, x: Floats) -> Floats:
    """Return the output (n × t float64) for n × s, a block of items at a time."""
    blocks = _tensor(x, next(model.parameters()).device).split(8 * BATCH)
    output: Floats = torch.cat([model(block) for block in blocks]).cpu().double().numpy()
    return output


def _tensor(x: Floats, device: torch.device) -> Tensor:
    return torch.from_numpy(x.astype(np.float32)).to(device)


def _name(hidden: tuple[int, ...]) -> str:
    return f"MLP-{len(hidden)}" if hidden else "linear"


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
