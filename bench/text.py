"""Texts to vectors: sorted by length and in bfloat16, beside sentence-transformers as it comes."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from bench.measure import Machine, Row, race
from companion.data import load
from lib.encoders import text

TEXTS = 512


def rows(machine: Machine, repeats: int) -> list[Row]:
    """Time the bundled encoder on the first texts of ml-100k; the least cosine is a row as well."""
    from sentence_transformers import SentenceTransformer

    texts = list(dict.fromkeys(load("ml-100k").items["text"]))[:TEXTS]
    plain = SentenceTransformer(str(text._packaged("minilm")), device="cpu", local_files_only=True)

    def theirs() -> torch.Tensor:
        return torch.as_tensor(plain.encode(texts, show_progress_bar=False))

    ours = torch.from_numpy(text._vectors("minilm", texts))
    least = float((normalize(ours) * normalize(theirs())).sum(1).min())
    if least < text.FAITHFUL:
        raise SystemExit(f"text: the least cosine to float32 is {least:.5f}; nothing was timed.")
    contestants = {"ours": lambda: text._vectors("minilm", texts), "peer": theirs}
    times = race(contestants, max(1, repeats // 3))
    size = f"{len(texts)} titles, MiniLM"
    name = "sentence-transformers, float32"
    return [
        Row("text encoding", size, times["ours"], name, times["peer"]),
        Row("text encoding, 1 − least cosine", size, 1 - least, "allowed", 1 - text.FAITHFUL,
            None, ""),
    ]  # fmt: skip
