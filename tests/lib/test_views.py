"""The laws that every model must keep, through one harness, on a small world."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lib import views
from lib.core import InputError, torch_generator
from lib.dataset import Dataset
from lib.encoders import closed, text
from lib.encoders.linear import Linear, TextProfiles
from lib.encoders.training import Recipe
from lib.metrics import ndcg, recall

pytestmark = pytest.mark.usefixtures("cache_folder")
QUICK = {"epochs": 2, "dimension": 8, "batch": 256}


def quick(dataset: Dataset, model: str, seed: int = 0) -> views.View:
    settings = QUICK if model in views.TRAINED else {}
    return views.fit(dataset, model, seed=seed, device="cpu", **settings)


@pytest.mark.parametrize("model", views.models())
def test_vectors_have_one_row_each_and_are_finite(small: Dataset, model: str) -> None:
    view = quick(small, model)
    assert view.users.shape == (small.n_users, view.items.shape[1])
    assert len(view.items) == small.n_items
    assert view.users.dtype == view.items.dtype == torch.float32
    assert torch.isfinite(view.users).all() and torch.isfinite(view.items).all()
    assert view.info["model"] == model and view.info["seed"] == 0


@pytest.mark.parametrize("model", views.models())
def test_test_items_never_influence_a_view(
    small: Dataset, small_with_other_test: Dataset, model: str
) -> None:
    assert small.digest != small_with_other_test.digest
    mine, other = quick(small, model), quick(small_with_other_test, model)
    assert torch.equal(mine.users, other.users) and torch.equal(mine.items, other.items)


def test_other_texts_make_only_the_views_that_read_text_anew(
    small: Dataset, cache_folder: Path
) -> None:
    texts = [[f"{word} {item % 7}0" for item in range(small.n_items)] for word in ("old", "new")]
    told = [replace(small, vectors=None, items=small.items.assign(text=of)) for of in texts]
    assert told[0].digest != told[1].digest
    for model, made in (("lightgcn", 1), ("linear", 3)):
        for dataset in told:
            views.fit(dataset, model, device="cpu", encoder="tfidf", **QUICK)
        assert len(list((cache_folder / "view").glob("[!.]*"))) == made


@pytest.mark.parametrize("model", views.models())
def test_the_same_seed_gives_the_same_bytes_from_an_empty_cache(
    small: Dataset, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = quick(small, model)
    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path / "another"))
    again = quick(small, model)
    assert torch.equal(first.users, again.users) and torch.equal(first.items, again.items)


@pytest.mark.parametrize("model", sorted(views.TRAINED))
def test_another_seed_gives_another_view(small: Dataset, model: str) -> None:
    assert not torch.equal(quick(small, model, 0).items, quick(small, model, 1).items)


def test_lists_mask_training_and_validation_at_test(small: Dataset) -> None:
    lists = views.lists(quick(small, "popularity"), small, small.n_items)
    for part in (small.train, small.valid):
        assert np.nansum(recall(lists, part)) == 0
    assert np.nanmin(recall(lists, small.test)) == 1


def test_lists_mask_only_training_at_validation(small: Dataset) -> None:
    lists = views.lists(quick(small, "popularity"), small, small.n_items, part="valid")
    assert np.nansum(recall(lists, small.train)) == 0
    assert np.nanmin(recall(lists, small.valid)) == 1


def test_popularity_ranks_by_training_count_and_ties_by_id(small: Dataset) -> None:
    lists = views.lists(quick(small, "popularity"), small, 5)
    counts = small.train.getnnz(axis=0)
    user = 0
    allowed = np.setdiff1d(np.arange(small.n_items), small.seen[user].indices)
    expected = allowed[np.lexsort((allowed, -counts[allowed]))][:5]
    np.testing.assert_array_equal(lists[user], expected)


def test_a_planted_perfect_view_has_recall_one(small: Dataset) -> None:
    perfect = views.View(
        torch.from_numpy(small.test.toarray()), torch.eye(small.n_items), {"model": "oracle"}
    )
    most = int(small.test.getnnz(axis=1).max())
    assert np.nanmin(recall(views.lists(perfect, small, most), small.test)) == 1


def test_chance_finds_its_expectation(small: Dataset) -> None:
    found = [
        np.nanmean(recall(views.lists(quick(small, "random", s), small, 10), small.test))
        for s in range(30)
    ]
    free = small.n_items - small.seen.getnnz(axis=1)
    able = small.test.getnnz(axis=1) > 0
    assert np.mean(found) == pytest.approx((10 / free)[able].mean(), abs=0.03)


def test_svd_chooses_how_many_of_its_factors_rank(small: Dataset) -> None:
    users, items, info = closed.truncated_svd(small, seed=0, dimension=39)
    assert info["dimension"] in (4, 8, 16, 32, 39) and users.shape[1] == info["dimension"]


def test_ease_is_the_published_formula(small: Dataset) -> None:
    users, items, info = closed.ease(small, seed=0)
    x = small.train.toarray().astype(float)
    inverse = np.linalg.inv(x.T @ x + info["ridge"] * np.eye(small.n_items))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    np.testing.assert_allclose((users @ items.T).numpy(), x @ weights, rtol=1e-3, atol=1e-5)


def test_a_profile_leaves_out_the_item_at_hand(small: Dataset) -> None:
    vectors = text.encode(small, "minilm")
    profiles = TextProfiles(small, vectors, torch.device("cpu"))
    user = int(np.argmax(small.train.getnnz(axis=1)))
    owned = small.train[user].indices
    unit = torch.nn.functional.normalize(vectors, dim=1)
    expected = torch.nn.functional.normalize(unit[owned[1:]].mean(0), dim=0)
    found = profiles.to_learn(torch.tensor([user]), torch.tensor([int(owned[0])]))[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    own = TextProfiles(small, vectors, torch.device("cpu"), own=True)
    found = own.to_learn(torch.tensor([user]), torch.tensor([int(owned[0])]))[0]
    torch.testing.assert_close(found, own.users()[user])


@pytest.mark.parametrize("own", [False, True])
def test_linear_maps_once_what_each_pair_would_have_mapped(small: Dataset, own: bool) -> None:
    vectors = text.encode(small, "minilm").clone()
    vectors[3] = 0  # an item without text
    recipe, rng = Recipe(dimension=8, own_text=own), torch_generator(0, "initial weights")
    model = Linear(small, recipe, rng, torch.device("cpu"), vectors)
    pairs = small.train.tocoo()
    users, positives = (torch.from_numpy(ids.astype("int64")) for ids in (pairs.row, pairs.col))
    made = model.batch(users, positives, torch.arange(small.n_items))
    texts = model.profiles.items
    plain = (model.profiles.to_learn(users, positives), texts[positives], texts)
    for found, expected in zip(made, plain, strict=True):
        unit = torch.nn.functional.normalize(found, dim=1)
        expected = torch.nn.functional.normalize(expected @ model.map, dim=1)
        torch.testing.assert_close(unit, expected, rtol=1e-4, atol=1e-5)


def test_a_user_without_another_text_has_no_direction(small: Dataset) -> None:
    vectors = text.encode(small, "minilm").clone()
    user = int(np.argmax(small.train.getnnz(axis=1)))
    first, *others = small.train[user].indices
    vectors[others] = 0
    rng = torch_generator(0, "initial weights")
    model = Linear(small, Recipe(dimension=8), rng, torch.device("cpu"), vectors)
    pair = torch.tensor([user]), torch.tensor([int(first)])
    assert not model.batch(*pair, torch.arange(small.n_items))[0].any()


def test_linear_learns_from_cosines_alone(small: Dataset) -> None:
    with pytest.raises(InputError, match="linear map of text, which learns from cosines"):
        views.fit(small, "linear", loss="bpr")


@pytest.mark.parametrize(("epochs", "every", "validations"), [(5, 2, 3), (6, 3, 2), (2, 5, 1)])
def test_a_model_is_validated_every_so_often_and_at_the_end(
    small: Dataset, epochs: int, every: int, validations: int
) -> None:
    settings = QUICK | {"epochs": epochs, "every": every, "select": "ndcg", "patience": 99}
    view = views.fit(small, "lightgcn", seed=0, device="cpu", **settings)
    assert len(view.info["history"]) == validations
    lists = views.lists(view, small, 20, part="valid")
    assert view.info["validation"] == pytest.approx(np.nanmean(ndcg(lists, small.valid)), abs=1e-6)
    assert view.info["epochs"] <= epochs


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda d: views.fit(d, "bert4rec"), "lightgcn"),
        (lambda d: views.fit(d, "lightgcn", depth=3), "layers"),
        (lambda d: views.fit(d, "svd", layers=3), "dimension"),
        (lambda d: views.fit(d, "lightgcn", device="tpu"), "cuda"),
        (lambda d: views.lists(quick(d, "popularity"), d, 0), "k = 0"),
        (lambda d: views.lists(quick(d, "popularity"), d, 10**6), "1 to"),
        (lambda d: views.fit(replace(d, valid=0 * d.valid), "lightgcn"), "validation"),
    ],
)
def test_wrong_input_is_one_sentence(small: Dataset, call, word: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=word) as fault:
        call(small)
    assert "\n" not in str(fault.value)
