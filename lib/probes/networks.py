"""The one way a small network is trained to map vectors onto vectors: ReLU, squared error, Adam.

Shapes: n items, b a batch, layer l from widths[l] to widths[l + 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from lib.core import Floats, torch_generator

EPOCHS, BATCH, LEARNING_RATE = 400, 1024, 1e-3

Layers = list[tuple[Tensor, Tensor]]
"""Weights (widths[l + 1] × widths[l]) and biases (widths[l + 1]) of each layer."""


def initial(widths: Sequence[int], *, seed: int, device: torch.device) -> Layers:
    """Return weights and biases drawn uniformly within ±1/√(inputs), torch's own rule."""
    draw = torch_generator(seed, "map: initial weights")

    def uniform(*shape: int, bound: float) -> Tensor:
        values = (2 * torch.rand(shape, generator=draw) - 1) * bound
        return values.to(device).requires_grad_()

    return [(uniform(b, a, bound=a**-0.5), uniform(b, bound=a**-0.5)) for a, b in pairwise(widths)]


def forward(layers: Layers, x: Tensor) -> Tensor:
    """Return the network's output (n × t) for n × s."""
    for weight, bias in layers[:-1]:
        x = F.relu(F.linear(x, weight, bias))
    return F.linear(x, *layers[-1])


def epochs(
    layers: Layers, x: Tensor, y: Tensor, *, seed: int, name: str, most: int = EPOCHS
) -> Iterator[int]:
    """Train in place on x (n × s) and y (n × t), yielding after each of at most ``most`` epochs.

    Mean squared error, Adam at 1e-3, batches of 1,024 in an order drawn anew every epoch.
    """
    draw = torch_generator(seed, "map: batches")
    optimiser = torch.optim.Adam([tensor for layer in layers for tensor in layer], LEARNING_RATE)
    for epoch in tqdm(range(1, most + 1), desc=name, unit="epoch", delay=3, disable=None):
        for rows in torch.randperm(len(x), generator=draw).to(x.device).split(BATCH):
            optimiser.zero_grad()
            F.mse_loss(forward(layers, x[rows]), y[rows]).backward()
            optimiser.step()
        yield epoch


@torch.no_grad()
def error(layers: Layers, x: Tensor, y: Tensor) -> float:
    """Return the mean squared error on x (n × s) and y (n × t)."""
    return float(F.mse_loss(forward(layers, x), y))


def copied(layers: Layers) -> Layers:
    """Return the layers as they are now, which further training leaves alone."""
    return [(weight.detach().clone(), bias.detach().clone()) for weight, bias in layers]


def size(layers: Layers) -> int:
    """Return the number of weights and biases."""
    return sum(tensor.numel() for layer in layers for tensor in layer)


def on(device: torch.device, x: Floats) -> Tensor:
    """Return float64 vectors as float32 on the device."""
    return torch.from_numpy(x.astype(np.float32)).to(device)


@torch.no_grad()
def predict(layers: Layers, x: Floats) -> Floats:
    """Return the output (n × t float64) for n × s, a block of items at a time."""
    blocks = on(layers[0][0].device, x).split(8 * BATCH)
    output: Floats = torch.cat([forward(layers, block) for block in blocks]).cpu().double().numpy()
    return output
