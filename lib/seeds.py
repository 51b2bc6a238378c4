"""Every random draw starts here: a seed and the name of what it is for give a generator.

Streams of different names are independent (SPEC 7, NumPy's SeedSequence), so adding a draw to
one model never moves the draws of another.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def _sequence(seed: int, purpose: str) -> np.random.SeedSequence:
    word = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return np.random.SeedSequence([seed, word])


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return NumPy's generator for ``purpose`` ("popularity ties", "bootstrap", …)."""
    return np.random.default_rng(_sequence(seed, purpose))


def torch_generator(seed: int, purpose: str) -> torch.Generator:
    """Return torch's CPU generator for ``purpose``; draws are moved to the device by the caller.

    Drawing on the CPU keeps one seed's batches and negatives the same on every device.
    """
    import torch

    state = _sequence(seed, purpose).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
