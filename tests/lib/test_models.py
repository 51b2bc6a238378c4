"""The special part of each model that is more than a branch, by hand or against a plain reference.

The laws that all models keep are in ``test_views``.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from lib import views
from lib.core import InputError, generator, torch_generator
from lib.dataset import Dataset
from lib.encoders import closed, lightgcn, losses, simgcl, text
from lib.encoders.joint import SharedPrivate
from lib.encoders.lightgcn import LightGCN
from lib.encoders.mapped import CARec
from lib.encoders.training import Recipe
from lib.metrics import recall

CPU = torch.device("cpu")
RECIPE = Recipe(dimension=8)


def normal(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch_generator(seed, "normal"))


def vectors_of(small: Dataset) -> torch.Tensor:
    return text.encode(small, "minilm")


def weights_of(seed: int = 0) -> torch.Generator:
    return torch_generator(seed, "initial weights")


# losses over a batch's distinct users or items


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
@settings(deadline=None)
def test_each_id_is_looked_at_once_where_it_stands_first(ids: list[int]) -> None:
    rows = losses.distinct(torch.tensor(ids)).tolist()
    assert rows == [ids.index(one) for one in sorted(set(ids))]


def test_only_the_first_rows_of_a_batch_are_contrasted() -> None:
    rows = losses.distinct(torch.arange(3 * losses.CONTRASTED))
    assert len(rows) == losses.CONTRASTED


def test_recognising_oneself_by_hand() -> None:
    # cosines 1 to its own and 0 to the other, over 0.5: log(1 + e^-2), whatever the lengths
    queries, keys = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    loss = losses.recognise(queries, keys, torch.tensor([7, 3]), 0.5)
    assert float(loss) == pytest.approx(np.log1p(np.exp(-2)), rel=1e-6)


def test_alignment_by_hand() -> None:
    # the first pair has one direction (0), the second opposite ones (4), the third a right angle
    one = torch.tensor([[1.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    other = torch.tensor([[5.0, 0.0], [-2.0, 0.0], [0.0, 1.0]])
    assert float(losses.alignment(one, other)) == pytest.approx((0 + 4 + 2) / 3)


def test_uniformity_by_hand_and_of_one_row() -> None:
    # three pairs at squared distances 4, 2 and 2, each counted in both orders
    rows = torch.tensor([[2.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    expected = np.log((np.exp(-8) + 2 * np.exp(-4)) / 3)
    assert float(losses.uniformity(rows)) == pytest.approx(expected, rel=1e-5)
    assert float(losses.uniformity(rows[:1])) == 0
    assert float(losses.uniformity(torch.ones(4, 3))) == pytest.approx(0, abs=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 5), st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_cross_covariance_is_numpys(seed: int, rows: int, d: int, e: int) -> None:
    draw = generator(seed, "cross covariance")
    one, other = draw.standard_normal((rows, d)), draw.standard_normal((rows, e))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (one, other)]
    whole = np.cov(np.hstack(unit).T, bias=True).reshape(d + e, d + e)
    found = float(losses.cross_covariance(torch.from_numpy(one), torch.from_numpy(other)))
    assert found == pytest.approx((whole[:d, d:] ** 2).sum(), abs=1e-12)
    assert 0 <= found <= 1


# SimGCL


def test_noise_has_its_length_and_the_signs_of_the_vector() -> None:
    vectors = normal(50, 8)
    found = simgcl.noise(vectors, 0.3, torch_generator(0, "noise"))
    torch.testing.assert_close(found.norm(dim=1), torch.full((50,), 0.3))
    assert torch.equal(found.sign(), vectors.sign())
    again = simgcl.noise(vectors, 0.3, torch_generator(0, "noise"))
    assert torch.equal(found, again)
    other = simgcl.noise(vectors, 0.3, torch_generator(1, "noise"))
    assert not torch.equal(found, other)


def simgcl_of(small: Dataset, recipe: Recipe = RECIPE) -> simgcl.SimGCL:
    return simgcl.SimGCL(small, recipe, weights_of(), CPU)


@pytest.mark.parametrize("layers", [1, 3])
def test_simgcl_ranks_with_the_clean_layers_after_the_first(small: Dataset, layers: int) -> None:
    recipe = replace(RECIPE, layers=layers)
    model = simgcl_of(small, recipe)
    other = LightGCN(small, recipe, weights_of(), CPU)
    assert torch.equal(model.base.users, other.users)  # LightGCN's weights of the same seed
    start = torch.cat([model.base.users, model.base.items]).detach().numpy()
    expected = sum(np.linalg.matrix_power(adjacency(small), n) for n in range(1, layers + 1))
    found = torch.cat(model.vectors()).detach().numpy()
    np.testing.assert_allclose(found, expected @ start / layers, rtol=1e-4, atol=1e-6)


def adjacency(dataset: Dataset) -> np.ndarray:
    """Return the normalised adjacency of users and items as a full matrix."""
    matrix = lightgcn.normalised(dataset.train).toarray()
    zero_users, zero_items = (np.zeros((n, n)) for n in matrix.shape)
    return np.block([[zero_users, matrix], [matrix.T, zero_items]])


def test_a_noisy_propagation_is_the_clean_one_where_there_is_no_noise(
    small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = simgcl_of(small)
    first, second = model.noisy(), model.noisy()
    assert not torch.equal(first[0], second[0])
    monkeypatch.setattr(simgcl, "RADIUS", 0.0)
    for noisy, clean in zip(model.noisy(), model.vectors(), strict=True):
        torch.testing.assert_close(noisy, clean.detach(), rtol=1e-4, atol=1e-6)


def test_the_noise_of_a_seed_does_not_depend_on_who_draws_elsewhere(small: Dataset) -> None:
    first = simgcl_of(small)
    torch.rand(7)  # torch's own generator is not asked
    assert torch.equal(first.noisy()[1], simgcl_of(small).noisy()[1])
    another = simgcl.SimGCL(small, RECIPE, weights_of(1), CPU)
    assert first.rng.initial_seed() != another.rng.initial_seed()


def test_the_contrast_has_the_value_and_gradient_of_one_written_out(small: Dataset) -> None:
    model = simgcl_of(small)
    state = model.rng.get_state()
    users, items = torch.tensor([3, 5, 3, 8]), torch.tensor([1, 1, 0, 2])
    vectors = model.batch(users, items, torch.tensor([4]))
    loss = model.auxiliary(users, items, vectors)
    model.rng.set_state(state)
    plain = torch.zeros(())
    noisy = [written_out(model) for _ in range(2)]
    for side, ids in enumerate((torch.tensor([3, 5, 8]), torch.tensor([0, 1, 2]))):
        one, other = (F.normalize(view[side][ids], dim=1) for view in noisy)
        plain = plain + F.cross_entropy(one @ other.T / simgcl.TEMPERATURE, torch.arange(3))
    assert loss is not None
    torch.testing.assert_close(loss, plain)
    parameters = [model.base.users, model.base.items]
    ours = torch.autograd.grad(loss, parameters)
    for mine, reference in zip(ours, torch.autograd.grad(plain, parameters), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-3, atol=1e-6)


def written_out(model: simgcl.SimGCL) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a noisy propagation through which torch itself takes the gradient."""
    users, items = model.base.users, model.base.items
    eye = [torch.eye(len(side)) for side in (users, items)]
    to_users, to_items = model.base.graph.to_users(eye[1]), model.base.graph.to_items(eye[0])
    layers = []
    for _ in range(model.layers):
        users, items = to_users @ items, to_items @ users
        users = users + simgcl.noise(users, simgcl.RADIUS, model.rng)
        items = items + simgcl.noise(items, simgcl.RADIUS, model.rng)
        layers.append((users, items))
    return tuple(torch.stack(side).mean(0) for side in zip(*layers, strict=True))  # type: ignore[return-value]


# the CARec-like model


def test_carec_adds_the_alignment_of_pairs_and_both_uniformities(small: Dataset) -> None:
    model = CARec(small, RECIPE, weights_of(), CPU, vectors_of(small))
    users, items = torch.tensor([3, 5, 3]), torch.tensor([1, 2, 2])
    vectors = model.batch(users, items, torch.tensor([0, 4]))
    loss = model.auxiliary(users, items, vectors)
    u, i = (F.normalize(side, dim=1).detach().numpy() for side in vectors[:2])
    together = ((u - i) ** 2).sum(1).mean()
    # two distinct users and two distinct items: one pair each, −2 times its squared distance
    apart = -2 * ((u[0] - u[1]) ** 2).sum() - 2 * ((i[0] - i[1]) ** 2).sum()
    assert loss is not None
    assert float(loss.detach()) == pytest.approx(together + apart, rel=1e-4)


def test_carecs_items_are_their_text_alone(small: Dataset) -> None:
    same = vectors_of(small).clone()
    same[1] = same[0] * 3  # one direction is one text
    model = CARec(small, replace(RECIPE, layers=0), weights_of(), CPU, same)
    items = model.vectors()[1]
    torch.testing.assert_close(items[0], items[1])
    assert {name for name, _ in model.named_parameters()} == {
        "users",
        "network.inner",
        "network.outer",
    }


# shared and private parts


def test_the_shared_private_score_is_the_mean_of_its_three_cosines(small: Dataset) -> None:
    model = SharedPrivate(small, RECIPE, weights_of(), CPU, vectors_of(small))
    text_side, free_side = model.semantic.vectors(), model.collaborative.vectors()
    assert text_side[0].shape[1] == 6  # 8 dimensions: 4 shared, 2 and 2 private
    expected = np.zeros((small.n_users, small.n_items))
    for part in ("shared", "text", "free"):
        users, items = (
            {"shared": average(t, f), "text": t[:, 4:], "free": f[:, 4:]}[part]
            for t, f in zip(text_side, free_side, strict=True)
        )
        expected += F.cosine_similarity(users[:, None], items[None], dim=2).detach().numpy() / 3
    users, items = model.finish(*model.vectors(), RECIPE)
    assert users.shape[1] == items.shape[1] == 8
    np.testing.assert_allclose((users @ items.T).detach(), expected, rtol=1e-4, atol=1e-5)


def average(text_branch: torch.Tensor, free_branch: torch.Tensor) -> torch.Tensor:
    return (F.normalize(text_branch[:, :4], dim=1) + F.normalize(free_branch[:, :4], dim=1)) / 2


def test_shared_parts_are_aligned_and_private_ones_kept_apart(small: Dataset) -> None:
    model = SharedPrivate(small, RECIPE, weights_of(), CPU, vectors_of(small))
    users, items = torch.tensor([3, 5, 3]), torch.tensor([1, 2, 2])
    vectors = model.batch(users, items, torch.tensor([0, 4]))
    loss = model.auxiliary(users, items, vectors)
    text_side = model.semantic.batch(users, items, torch.tensor([0]))
    free_side = model.collaborative.batch(users, items, torch.tensor([0]))
    expected = 0.0
    for t, f in ((s[:2] for s in pair) for pair in zip(text_side[:2], free_side[:2], strict=True)):
        shared = [F.normalize(x[:, :4], dim=1) for x in (t, f)]
        private = [F.normalize(x[:, 4:], dim=1) for x in (t, f)]
        expected += float((shared[0] - shared[1]).square().sum(1).mean().detach())
        for s, p in zip(shared, private, strict=True):
            # the covariance of two points: a quarter of the product of their differences
            expected += float(torch.outer(s[0] - s[1], p[0] - p[1]).square().sum().detach()) / 16
    assert loss is not None
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)


def test_the_alignment_moves_no_private_part(small: Dataset) -> None:
    model = SharedPrivate(small, RECIPE, weights_of(), CPU, vectors_of(small))
    users, items = torch.arange(1), torch.arange(1)  # one row has no covariance
    loss = model.auxiliary(users, items, model.batch(users, items, torch.tensor([0])))
    assert loss is not None
    for gradient in torch.autograd.grad(loss, [model.semantic.map, model.collaborative.items]):
        assert gradient[:, :4].abs().max() > 1e-6
        assert gradient[:, 4:].abs().max() < 1e-6


# L3AE


def world_of_items(seed: int, n_users: int = 20, n_items: int = 6) -> tuple[np.ndarray, np.ndarray]:
    draw = generator(seed, "l3ae")
    x = (draw.random((n_users, n_items)) < 0.4).astype(float)
    vectors = draw.standard_normal((n_items, 4))
    return x, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def zero_diagonal(target: np.ndarray, source: np.ndarray, ridge: float) -> np.ndarray:
    """Return argmin ‖target − source·W‖² + ridge ‖W‖² column by column, W's diagonal zero."""
    n = source.shape[1]
    found = np.zeros((n, n))
    for column in range(n):
        others = np.delete(np.arange(n), column)
        a = source[:, others]
        gram = a.T @ a + ridge * np.eye(n - 1)
        found[others, column] = np.linalg.solve(gram, a.T @ target[:, column])
    return found


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 30))
@settings(deadline=None, max_examples=25)
def test_semantic_weights_are_ridge_without_the_item_itself(seed: int, ridge: float) -> None:
    _, vectors = world_of_items(seed)
    found = closed.Semantic.of(vectors, ridge).after(np.eye(6))
    np.testing.assert_allclose(
        found, zero_diagonal(vectors.T, vectors.T, ridge), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("pull", [0.0, 0.7, 5.0])
def test_l3aes_weights_are_what_an_optimiser_finds(pull: float) -> None:
    x, vectors = world_of_items(1)
    semantic, ridge, n = closed.Semantic.of(vectors, 2.0), 1.5, 6
    c = semantic.after(np.eye(n))
    free = ~np.eye(n, dtype=bool)

    def objective(entries: np.ndarray) -> tuple[float, np.ndarray]:
        b = np.zeros((n, n))
        b[free] = entries
        residual = x @ b - x
        value = (residual**2).sum() + ridge * (b**2).sum() + pull * ((b - c) ** 2).sum()
        slope = 2 * (x.T @ residual + ridge * b + pull * (b - c))
        return value, slope[free]

    found = closed.weights(np.linalg.inv(x.T @ x + (ridge + pull) * np.eye(n)), pull, semantic)
    assert np.all(np.diag(found) == 0)
    assert np.abs(objective(found[free])[1]).max() < 1e-9  # no slope at the closed form
    least = minimize(objective, np.zeros(free.sum()), jac=True, method="BFGS", tol=1e-10)
    np.testing.assert_allclose(found[free], least.x, atol=1e-5)


def test_l3ae_without_pull_is_ease_and_with_a_great_one_is_text(small: Dataset) -> None:
    x = small.train.toarray().astype(float)
    vectors = F.normalize(vectors_of(small).double(), dim=1).numpy()
    semantic, gram = closed.Semantic.of(vectors, 1.0), x.T @ x
    _, items, info = closed.ease(small, seed=0)
    inverse = np.linalg.inv(gram + info["ridge"] * np.eye(len(gram)))
    np.testing.assert_allclose(
        closed.weights(inverse, 0.0, semantic).T, items, rtol=1e-4, atol=1e-6
    )
    inverse = np.linalg.inv(gram + (1 + 1e9) * np.eye(len(gram)))
    found, text_alone = closed.weights(inverse, 1e9, semantic), semantic.after(np.eye(len(gram)))
    np.testing.assert_allclose(found, text_alone, atol=1e-6)


def test_l3ae_keeps_the_best_of_its_trials_on_validation(small: Dataset) -> None:
    users, items, info = closed.l3ae(small, 0, vectors_of(small))
    assert info["trials"] == 13 == len(closed.RIDGES) + len(closed.PULLS) * len(closed.TEXT_RIDGES)
    lists = views.lists(views.View(users, items, {}), small, 20, part="valid")
    assert info["validation"] == pytest.approx(np.nanmean(recall(lists, small.valid)))
    x = small.train.toarray().astype(float)
    total = info["ridge"] + info["pull"]
    vectors = F.normalize(vectors_of(small).double(), dim=1).numpy()
    semantic = closed.Semantic.of(vectors, info["text_ridge"])
    inverse = np.linalg.inv(x.T @ x + total * np.eye(small.n_items))
    expected = x @ closed.weights(inverse, info["pull"], semantic)
    np.testing.assert_allclose((users @ items.T).numpy(), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("ridge", [10.0, 640.0])
def test_the_inverse_in_float32_is_near_that_in_float64(small: Dataset, ridge: float) -> None:
    x = small.train.toarray().astype(float)
    exact = np.linalg.inv(x.T @ x + ridge * np.eye(small.n_items))
    found = closed._inverse(small, ridge)
    assert found.dtype == np.float32 and np.array_equal(found, found.T)
    assert np.abs(found - exact).max() < 1e-5 * np.abs(exact).max()


def test_ease_keeps_the_best_of_its_trials_on_validation(small: Dataset) -> None:
    users, items, info = closed.ease(small, 0)
    lists = views.lists(views.View(users, items, {}), small, 20, part="valid")
    assert info["validation"] == pytest.approx(np.nanmean(recall(lists, small.valid)), abs=1e-3)
    assert info["trials"] == len(closed.EASE_RIDGES)


@pytest.mark.parametrize("shape", [(10, 38_519), (90_000, 20_000)])
@pytest.mark.parametrize("model", ["ease", "l3ae"])
def test_a_catalogue_too_large_for_an_autoencoder_is_one_sentence(
    small: Dataset, shape: tuple[int, int], model: str
) -> None:
    none = sp.csr_matrix(shape, dtype=np.float32)
    items = pd.DataFrame({"text": [""] * shape[1]})
    large = replace(small, train=none, valid=none, test=none, items=items, vectors=None)
    text = [vectors_of(small)] * (model == "l3ae")
    with pytest.raises(InputError, match="8 GiB") as fault:
        getattr(closed, model)(large, 0, *text)
    assert "\n" not in str(fault.value) and f"{shape[1]:,}" in str(fault.value)


# TextGCN


def test_textgcn_is_the_mean_of_matrix_powers_on_text_and_its_user_means(small: Dataset) -> None:
    vectors = vectors_of(small)
    users, items, info = closed.textgcn(small, 0, vectors)
    unit = F.normalize(vectors, dim=1).numpy().astype(float)
    rows = small.train.toarray()
    start = np.vstack([rows @ unit / np.maximum(rows.sum(1, keepdims=True), 1), unit])
    powers = [np.linalg.matrix_power(adjacency(small), n) for n in range(5)]
    means = [sum(powers[: n + 1]) @ start / (n + 1) for n in range(5)]
    lists = []
    for mean in means[1:]:
        cosines = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        view = views.View(*(torch.from_numpy(x) for x in np.split(cosines, [small.n_users])), {})
        lists.append(np.nanmean(recall(views.lists(view, small, 20, part="valid"), small.valid)))
    assert info["layers"] == 1 + int(np.argmax(lists)) and info["trials"] == 4
    assert info["validation"] == pytest.approx(max(lists))
    best = means[info["layers"]]
    expected = best / np.linalg.norm(best, axis=1, keepdims=True)
    np.testing.assert_allclose(np.vstack([users, items]), expected, rtol=1e-4, atol=1e-6)


# settings and the cache's keys


@pytest.mark.usefixtures("cache_folder")
@pytest.mark.parametrize(
    ("model", "given", "dimension"),
    [
        ("lightgcn", {"loss": "bpr"}, 64),
        ("mf-bpr", {}, 64),
        ("joint", {"hardest": 256, "negatives": 512, "dimension": 128}, 128),
        ("alpharec", {"temperature": 0.1, "negatives": 64}, 64),
    ],
)
def test_the_references_own_settings_train(
    small: Dataset, model: str, given: dict[str, object], dimension: int
) -> None:
    view = views.fit(small, model, device="cpu", epochs=12, **given)
    assert {name: view.info["parameters"][name] for name in given} == given
    assert view.items.shape[1] == dimension
    chance = min(20, small.n_items) / small.n_items
    assert view.info["validation"] > chance and torch.isfinite(view.items).all()


@pytest.mark.usefixtures("cache_folder")
@pytest.mark.parametrize(
    ("model", "given", "word"),
    [
        ("joint", {"dimension": 7}, "multiple of 2"),
        ("shared-private", {"dimension": 6}, "multiple of 4"),
        ("shared-private", {"dimension": 2}, "multiple of 4"),
        ("simgcl", {"layers": 0}, "layers of SimGCL = 0.*at least 1"),
    ],
)
def test_a_setting_that_a_model_cannot_split_is_one_sentence(
    small: Dataset, model: str, given: dict[str, int], word: str
) -> None:
    with pytest.raises(InputError, match=word) as fault:
        views.fit(small, model, device="cpu", epochs=1, **given)
    assert "\n" not in str(fault.value)
