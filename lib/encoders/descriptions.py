"""Other descriptions of the items than a language model's: their genres, their words.

They need no network and no model. Each is a further view of the same items, to be set beside the
text (chapter 14) or in its place (``encoder``).

The knowledge graph that RecBole ships with MovieLens-100K is not among them: its links are numbered
by another edition of MovieLens, so that they describe other films than the ones rated
(github.com/RUCAIBox/RecSysDatasets/issues/130).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lib import store
from lib.data import Dataset
from lib.errors import InputError
from lib.seeds import generator

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


def encode(dataset: Dataset, name: str) -> Matrix:
    """Return the vectors of a description, made now or read from the store (n_items × w float32).

    Raises
    ------
    InputError
        The dataset does not have what the description needs.
    """
    key = {"dataset": dataset.name, "encoder": name, "of": digest_of(dataset, name)}
    found: Matrix = store.remember("text", key, lambda: {"vectors": MAKERS[name](dataset)})[
        "vectors"
    ]
    return found


def digest_of(dataset: Dataset, name: str) -> str:
    """Return what identifies the vectors of a description, without making them."""
    column = {"genres": "genres", "tfidf": "text"}[name]
    about = list(dataset.items[column].fillna("")) if column in dataset.items else []
    return store.digest(name, store.code_version(genres, _genres, tfidf), [WIDTH, TERMS], about)


def available(dataset: Dataset) -> list[str]:
    """Return the names of the descriptions that the dataset's items have, genres first."""
    has = {
        "genres": _genres(dataset).shape[1] > 0,
        "tfidf": bool(dataset.items["text"].str.contains(r"\w\w").any()),
    }
    return [name for name in MAKERS if has[name]]
