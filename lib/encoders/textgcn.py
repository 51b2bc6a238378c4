"""TextGCN: frozen text, propagated over the user-item graph (Chernov et al. 2025)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.data import Dataset
from lib.encoders.closed import Solution
from lib.encoders.graph import Graph, propagate
from lib.encoders.linear import TextProfiles
from lib.encoders.training import validation_score, validation_users

LAYERS = (1, 2, 3, 4)


def textgcn(dataset: Dataset, seed: int, text: Tensor) -> Solution:
    """Rank by the cosine of text vectors averaged over the layers of LightGCN's propagation.

    It follows TextGCN: layer 0 is an item's text vector, and for a user the mean of the vectors
    of its training items; each layer is a normalised sum over neighbours; the result is the mean
    over the layers 0 … L. Ours are the text encoder, its vectors taken at unit length, the number
    of layers (1 to 4, by validation Recall@20) and the cosine, which TextGCN's code leaves to a
    switch.
    """
    cpu = torch.device("cpu")
    profiles, graph = TextProfiles(dataset, text, cpu), Graph.of(dataset.train, cpu)
    counts = (
        torch.from_numpy(np.diff(dataset.train.indptr)).clamp(min=1).unsqueeze(1)
    )  # n_users × 1
    start = profiles.sums / counts, profiles.items
    subset = validation_users(dataset)
    scores, best = [], start
    for layers in LAYERS:
        users, items = (F.normalize(x, dim=1) for x in propagate(graph, *start, layers))
        scores.append(validation_score(dataset, users, items, subset))
        if scores[-1] > max(scores[:-1], default=-1):
            best = users, items
    chosen = LAYERS[int(np.argmax(scores))]
    return *best, {"layers": chosen, "validation": max(scores), "trials": len(scores)}
