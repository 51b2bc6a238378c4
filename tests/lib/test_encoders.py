"""The training pieces against slow, plain references."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import views
from lib.core import InputError, generator, torch_generator
from lib.dataset import Dataset
from lib.encoders import lightgcn, losses
from lib.encoders.training import Encoder, Recipe, _batches, train


def interactions(n_users: int = 30, n_items: int = 25, seed: int = 0) -> sp.csr_matrix:
    draw = generator(seed, "test interactions")
    dense = (draw.random((n_users, n_items)) < 0.2).astype(np.float32)
    dense[:, 0] = 1
    return sp.csr_matrix(dense)


def negatives_of(
    train: sp.csr_matrix, users: torch.Tensor, size: int, *, apart: bool = True
) -> losses.Negatives:
    known = losses.TrainItems.of(train, torch.device("cpu"))
    excluded, rng = losses.exclude_known(known, users), torch_generator(0, "pool")
    return losses.sample(excluded, known.catalogue, size, rng, apart=apart)


@pytest.mark.parametrize("size", [1, 7, 25, 1000])
def test_the_pool_holds_distinct_items_and_allows_no_known_positive(size: int) -> None:
    train = interactions()
    users = torch.tensor([3, 3, 0, 29, 7])
    pool = negatives_of(train, users, size)
    assert len(set(pool.items.tolist())) == len(pool.items) == min(size, 25)
    allowed = pool.allowed().numpy()
    expected = train[users.numpy()].toarray()[:, pool.items.numpy()] == 0
    np.testing.assert_array_equal(allowed, expected)


def test_an_item_that_nobody_has_in_training_is_no_negative() -> None:
    train = interactions().tolil()
    train[:, [4, 24]] = 0
    pool = negatives_of(train.tocsr(), torch.tensor([3, 7]), 99)
    assert sorted(pool.items.tolist()) == [item for item in range(25) if item not in (4, 24)]


def test_one_negative_a_row_is_allowed_and_covers_every_allowed_item() -> None:
    train = interactions()
    users = torch.arange(30).repeat(200)
    pool = negatives_of(train, users, 25)
    chosen = pool.items[pool.one_each()].numpy()
    dense = train.toarray()
    assert dense[users.numpy(), chosen].sum() == 0
    seen = np.zeros_like(dense)
    seen[users.numpy(), chosen] = 1
    assert ((seen + dense) > 0).mean() > 0.99


def plain_infonce(
    users: torch.Tensor, positives: torch.Tensor, items: torch.Tensor, allowed: torch.Tensor
) -> torch.Tensor:
    u, p, n = (F.normalize(x, dim=1) for x in (users, positives, items))
    positive = (u * p).sum(1, keepdim=True) / 0.15
    other = (u @ n.T / 0.15).masked_fill(~allowed, -torch.inf)
    return F.cross_entropy(torch.cat([positive, other], 1), torch.zeros(len(u), dtype=torch.long))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 5, 40, 700]),
    st.sampled_from([0, 1, 4, 20, 99]),
    st.sampled_from(["grouped", "apart", "positive"]),
)
@settings(deadline=None, max_examples=20)
def test_infonce_has_the_value_and_gradients_of_the_plain_one(
    seed: int, rows: int, hardest: int, excluded: str
) -> None:
    train, draw = interactions(400, 25, seed), torch_generator(seed, "vectors")
    ids = torch.randint(min(400, 2 * rows), (rows,), generator=draw)
    if excluded == "positive":
        chosen = losses.exclude_positive(torch.randint(25, (rows,), generator=draw))
        pool = losses.sample(chosen, torch.arange(25), 20, draw)
    else:
        pool = negatives_of(train, ids, 20, apart=excluded == "apart")
    shared = torch.randn(400, 8, generator=draw, dtype=torch.float64)[ids]
    alone = torch.randn(rows, 8, generator=draw, dtype=torch.float64)
    others = [torch.randn(n, 8, generator=draw, dtype=torch.float64) for n in (rows, 20)]
    parts = [shared if excluded == "grouped" else alone, *others]
    for part in parts:
        part.requires_grad_()
    allowed = pool.allowed()[pool.group_of]
    if hardest:
        cosines = F.normalize(parts[0], dim=1) @ F.normalize(parts[2], dim=1).T
        least = cosines.masked_fill(~allowed, -2).sort(1, descending=True).values
        allowed = allowed & (cosines >= least[:, [min(hardest, 20) - 1]])
    ours = losses.infonce(*parts, replace(pool, hardest=hardest), 0.15)
    plain = plain_infonce(*parts, allowed)
    torch.testing.assert_close(ours, plain)
    gradients = (torch.autograd.grad(loss, parts) for loss in (ours, plain))
    for mine, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-9, atol=1e-12)


def test_infonce_passes_no_nan_to_vectors_of_zeros() -> None:
    pool = negatives_of(interactions(), torch.tensor([3, 3]), 4)
    parts = [torch.zeros(n, 8).requires_grad_() for n in (2, 2, 4)]
    loss = losses.infonce(*parts, pool, 0.15)
    assert all(torch.isfinite(x).all() for x in (loss, *torch.autograd.grad(loss, parts)))


@pytest.mark.parametrize("model", sorted(views.TRAINED))
def test_rows_of_a_group_have_one_user_vector(small: Dataset, model: str) -> None:
    spec, cpu = views.TRAINED[model], torch.device("cpu")
    text = [torch.randn(small.n_items, 12, generator=torch_generator(1, "text"))] * spec.text
    encoder = spec.make(small, Recipe(), torch_generator(0, "weights"), cpu, *text)
    known = losses.TrainItems.of(small.train, cpu)
    apart = type(encoder).batch is not Encoder.batch
    batches = _batches(known, Recipe(), torch_generator(0, "batches"), apart)
    users, positives, pool = next(batches)
    vectors = encoder.batch(users, positives, pool.items)[0]
    assert pool.group_of.max() + 1 == (len(users) if apart else len(set(users.tolist())))
    first = torch.stack([vectors[pool.group_of == group][0] for group in pool.group_of.unique()])
    torch.testing.assert_close(vectors, first[pool.group_of], rtol=0, atol=0)


def test_the_reference_sets_a_row_against_all_but_its_own_positive() -> None:
    positives = torch.tensor([4, 0, 4])
    excluded = losses.exclude_positive(positives)
    pool = losses.sample(excluded, torch.arange(6), 99, torch_generator(0, "pool"), first=1)
    assert sorted(pool.items.tolist()) == [1, 2, 3, 4, 5]
    refused = [pool.items[~row].tolist() for row in pool.allowed()]
    assert refused == [[4], [], [4]]


def test_a_pool_beyond_the_catalogue_is_refused() -> None:
    excluded = losses.exclude_positive(torch.tensor([0]))
    with pytest.raises(InputError, match="first_negative = 6"):
        losses.sample(excluded, torch.arange(6), 3, torch_generator(0, "pool"), first=6)


def test_infonce_by_hand() -> None:
    # one user with cosine 1 to its positive and 0 to the one allowed negative: log(1 + e^(-1/τ))
    train = sp.csr_matrix(np.eye(2, dtype=np.float32))  # item 1 is another user's
    pool = negatives_of(train, torch.tensor([0]), 2)
    items = torch.zeros(2, 2)
    items[pool.items == 0] = torch.tensor([1.0, 0.0])
    items[pool.items == 1] = torch.tensor([0.0, 1.0])
    user = torch.tensor([[2.0, 0.0]])
    value = losses.infonce(user, torch.tensor([[3.0, 0.0]]), items, pool, 0.5)
    assert float(value) == pytest.approx(np.log1p(np.exp(-2)), rel=1e-6)


def test_bpr_by_hand() -> None:
    train = sp.csr_matrix(np.eye(2, dtype=np.float32))  # item 1 is another user's
    pool = negatives_of(train, torch.tensor([0]), 2)
    vectors = torch.tensor([[1.0], [0.5]])[pool.items]
    value = losses.bpr(torch.tensor([[2.0]]), torch.tensor([[1.0]]), vectors, pool, 1.0)
    assert float(value) == pytest.approx(np.log1p(np.exp(-1)), rel=1e-6)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_propagation_is_the_mean_of_powers_and_its_own_gradient(layers: int) -> None:
    train = interactions(6, 5)
    matrix = lightgcn.normalised(train).toarray()
    full = np.block([[np.zeros((6, 6)), matrix], [matrix.T, np.zeros((5, 5))]])
    mean = sum(np.linalg.matrix_power(full, power) for power in range(layers + 1)) / (layers + 1)
    x = torch.randn(11, 3, generator=torch_generator(0, "x"), requires_grad=True)
    ours = torch.cat(
        lightgcn.propagate(lightgcn.Graph.of(train, torch.device("cpu")), x[:6], x[6:], layers)
    )
    np.testing.assert_allclose(ours.detach(), mean @ x.detach().numpy(), rtol=1e-5, atol=1e-6)
    upstream = torch.randn(11, 3, generator=torch_generator(1, "x"))
    (gradient,) = torch.autograd.grad(ours, x, upstream)
    np.testing.assert_allclose(gradient, mean.T @ upstream.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("width", [1, 7, 64, 130])
def test_products_with_the_graph_are_scipys(width: int) -> None:
    dense = interactions(42, 23).toarray()
    dense[40:], dense[:, [0, 22]] = 0, 0  # users and items without an interaction
    train = sp.csr_matrix(dense)
    ours = lightgcn.Graph.of(train, torch.device("cpu"))
    matrix, draw = lightgcn.normalised(train), torch_generator(width, "x")
    items, users = torch.randn(23, width, generator=draw), torch.randn(width, 42, generator=draw).T
    np.testing.assert_allclose(ours.to_users(items), matrix @ items.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.to_items(users), matrix.T @ users.numpy(), rtol=1e-5, atol=1e-6)
    assert not ours.to_users(items)[40:].any()


def test_rows_without_interactions_stay_finite() -> None:
    empty = sp.csr_matrix((3, 4), dtype=np.float32)
    assert np.isfinite(lightgcn.normalised(empty).toarray()).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"dimension": 0},
        {"temperature": 0.001},
        {"temperature": float("nan")},
        {"weight": float("inf")},
        {"batch": "8192"},
        {"loss": "hinge"},
        {"epochs": 0},
        {"layers": 1.5},
        {"weight": True},
        {"select": "auc"},
        {"excluded": "none"},
        {"own_text": 2},
        {"every": 0},
    ],  # fmt: skip
)
def test_a_recipe_out_of_bounds_is_one_sentence(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Recipe(**wrong).checked()  # type: ignore[arg-type]


class Tied(Encoder):
    """Ranks by training count at every validation, with items scaled by how often it was asked."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__()
        self.free = torch.nn.Parameter(torch.zeros(1))
        self.counts = torch.from_numpy(dataset.train.sum(0).T.astype(np.float32))  # n_items × 1
        self.ones = torch.ones(dataset.n_users, 1)
        self.validations = 0

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        self.validations += not self.training
        return self.ones, self.counts * max(1, self.validations) + 0 * self.free


@pytest.mark.parametrize("every", [1, 2])
def test_of_tied_epochs_the_first_is_kept_reported_and_counted_from(
    small: Dataset, every: int
) -> None:
    recipe = Recipe(loss="bpr", epochs=50, patience=3, every=every, batch=64)
    encoder = Tied(small)
    _, items, info = train(encoder, small, recipe, seed=0, device=torch.device("cpu"))
    assert len(set(info["history"])) == 1 and len(info["history"]) == 1 + recipe.patience
    assert info["epochs"] == every
    torch.testing.assert_close(items, encoder.counts)


def test_streams_of_different_purpose_and_seed_differ() -> None:
    draws = {
        (seed, purpose): float(generator(seed, purpose).random())
        for seed in (0, 1)
        for purpose in ("a", "b")
    }
    assert len(set(draws.values())) == 4
    assert draws[0, "a"] == float(generator(0, "a").random())
    first = torch.rand(1, generator=torch_generator(0, "a"))
    assert float(first) == float(torch.rand(1, generator=torch_generator(0, "a")))
