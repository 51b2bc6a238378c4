"""Maps against scikit-learn, SciPy, torch's own modules, and planted relations."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike
from scipy.linalg import orthogonal_procrustes
from sklearn.cross_decomposition import CCA
from sklearn.linear_model import LinearRegression, Ridge
from torch import nn

from lib import probes
from lib.core import InputError, torch_generator
from lib.probes import maps, networks
from lib.probes.maps import PairedVectors, fit_cca, fit_procrustes, fit_ridge
from lib.probes.networks import fit_mlp, fit_mlp_reference

Four = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
SMALL = {
    "ridge": fit_ridge,
    "procrustes": fit_procrustes,
    "cca": fit_cca,
    "mlp": partial(fit_mlp, hidden=(8,), epochs=6, device="cpu"),
    "mlp, reference": partial(fit_mlp_reference, hidden=(8, 8), epochs=6, device="cpu"),
}


def relation(n: int = 80, m: int = 30, s: int = 6, t: int = 4, noise: float = 1.0) -> Four:
    """Return a noisy linear relation between correlated columns: n training, m validation items."""
    draw = np.random.default_rng(n + m + s + t)
    x = draw.normal(size=(n + m, s)) @ draw.normal(size=(s, s)) + draw.normal(size=s)
    y = x @ draw.normal(size=(s, t)) + noise * draw.normal(size=(n + m, t)) + 3
    return x[:n], y[:n], x[n:], y[n:]


def pairs(x: ArrayLike, y: ArrayLike, x_valid: ArrayLike, y_valid: ArrayLike) -> PairedVectors:
    n, m = np.shape(x)[0], np.shape(x_valid)[0]
    source, target = np.concatenate([x, x_valid]), np.concatenate([y, y_valid])
    return PairedVectors.of(source, target, range(n), range(n, n + m))


def rotation(d: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def standard(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(0)) / np.sqrt(((x - x.mean(0)) ** 2).mean())


def test_ridge_by_hand() -> None:
    # x = ±1, y = ±2 are ±1 in standard units: the weight is 1 / (1 + λ), least λ on an exact line
    found = fit_ridge(pairs([[-1], [1]], [[-2], [2]], [[2]], [[4]]))
    assert found.info["penalty"] == pytest.approx(1e-6)
    assert found.predict([[3]])[0, 0] == pytest.approx(6 / (1 + 1e-6), rel=1e-12)


@pytest.mark.parametrize("noise", [0.01, 3, 100])
def test_ridge_is_scikit_learns_with_the_penalty_that_brute_force_chooses(noise: float) -> None:
    x, y, xv, yv = relation(n=20, s=15, noise=noise)
    found = fit_ridge(pairs(x, y, xv, yv))
    scale = np.sqrt(((x - x.mean(0)) ** 2).mean())

    def with_penalty(penalty: float) -> Ridge:
        return Ridge(alpha=penalty * len(x)).fit(x / scale, y)

    models = [with_penalty(penalty) for penalty in maps.PENALTIES]
    errors = [((model.predict(xv / scale) - yv) ** 2).mean() for model in models]
    best = int(np.argmin(errors))
    assert found.info["penalty"] == maps.PENALTIES[best]
    np.testing.assert_allclose(found.predict(xv), models[best].predict(xv / scale), rtol=1e-8)


def test_ridge_with_more_columns_than_items() -> None:
    x, y, xv, yv = relation(n=20, s=50)
    found = fit_ridge(pairs(x, y, xv, yv))
    scale = np.sqrt(((x - x.mean(0)) ** 2).mean())
    model = Ridge(alpha=found.info["penalty"] * 20, solver="svd").fit(x / scale, y)
    np.testing.assert_allclose(found.predict(xv), model.predict(xv / scale), rtol=1e-6)


@pytest.mark.parametrize("fit", [fit_ridge, fit_procrustes, fit_cca])
def test_rotating_either_space_changes_nothing(fit: maps.Fit) -> None:
    x, y, xv, yv = relation()
    a, b = rotation(6), rotation(4)
    plain = fit(pairs(x, y, xv, yv)).predict(xv)
    turned = fit(pairs(x @ a, y @ b, xv @ a, yv @ b)).predict(xv @ a)
    np.testing.assert_allclose(turned, plain @ b, rtol=1e-7, atol=1e-7)


def test_procrustes_by_hand() -> None:
    # a quarter turn, twice as long, moved by (10, 20): (a, b) → (10 − 2b, 20 + 2a)
    x = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    found = fit_procrustes(pairs(x, [[10, 22], [8, 20], [10, 18], [12, 20]], x[:1], [[0, 0]]))
    np.testing.assert_allclose(found.predict([[3, 5]]), [[0, 26]])
    assert found.info["scale"] == pytest.approx(2)
    assert found.info["parameters"] == 1 + 1 + 2  # an angle, a scale, a shift


def test_procrustes_is_scipys_on_noisy_pairs_of_one_width() -> None:
    x, y, xv, yv = relation(s=5, t=5, noise=5)
    found = fit_procrustes(pairs(x, y, xv, yv))
    centred, aim = x - x.mean(0), y - y.mean(0)
    turn, scale = orthogonal_procrustes(centred, aim)
    expected = y.mean(0) + (xv - x.mean(0)) @ turn * scale / (centred**2).sum()
    np.testing.assert_allclose(found.predict(xv), expected)


@pytest.mark.parametrize(("s", "t"), [(3, 5), (5, 3)])
def test_procrustes_recovers_a_planted_frame_between_different_widths(s: int, t: int) -> None:
    frame = rotation(5)[:s, :t]
    x = np.random.default_rng(0).normal(size=(60, s))
    if s > t:  # only what lies in the frame can be seen in the target
        x = x @ frame @ frame.T
    y = 0.3 * x @ frame + 7
    found = fit_procrustes(PairedVectors.of(x, y, range(40), range(40, 50)))
    np.testing.assert_allclose(found.predict(x[50:]), y[50:])
    assert found.info["scale"] == pytest.approx(0.3)


def test_canonical_correlations_are_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, xv, yv = relation(n=120, s=5, t=3, noise=2)
    a, b = CCA(n_components=3, scale=False, max_iter=5000, tol=1e-12).fit_transform(x, y)
    theirs = [np.corrcoef(one, other)[0, 1] for one, other in zip(a.T, b.T, strict=True)]
    monkeypatch.setattr(maps, "PENALTIES", np.array([1e-12]))  # theirs has none
    found = fit_cca(pairs(x, y, xv, yv)).info["correlations"]
    np.testing.assert_allclose(found, theirs, atol=1e-6)


def test_cca_with_all_pairs_is_ridge_and_without_penalty_least_squares() -> None:
    x, y, xv, yv = relation(noise=0.01)  # hardly noisy: the least penalty and every pair are best
    found = fit_cca(pairs(x, y, xv, yv))
    assert found.info["components"] == 4
    assert found.info["penalty"] == fit_ridge(pairs(x, y, xv, yv)).info["penalty"]
    np.testing.assert_allclose(found.predict(xv), fit_ridge(pairs(x, y, xv, yv)).predict(xv))
    least_squares = LinearRegression().fit(x, y).predict(xv)
    np.testing.assert_allclose(found.predict(xv), least_squares, rtol=1e-3)


def test_cca_chooses_pairs_and_penalty_as_brute_force_does() -> None:
    x, y, xv, yv = relation(n=25, noise=0)
    draw, one = np.random.default_rng(0), np.array([[1, -1, 1, 1]])  # a relation of rank one
    y, yv = (z[:, :1] * one + 5 * draw.normal(size=z.shape) for z in (y, yv))
    found = fit_cca(pairs(x, y, xv, yv))
    scale = [np.sqrt(((z - z.mean(0)) ** 2).mean()) for z in (x, y)]
    a, b = standard(x), standard(y)

    def power(z: np.ndarray, penalty: float, exponent: float) -> np.ndarray:
        values, vectors = np.linalg.eigh(z.T @ z / len(z) + penalty * np.eye(z.shape[1]))
        return vectors * values**exponent @ vectors.T

    def predicted(penalty: float, k: int) -> np.ndarray:
        whitened = power(a, penalty, -0.5) @ (a.T @ b / len(a)) @ power(b, penalty, -0.5)
        u, strength, v = np.linalg.svd(whitened)
        core = (u[:, :k] * strength[:k]) @ v[:k]
        weight = power(a, penalty, -0.5) @ core @ power(b, penalty, 0.5)
        return (xv - x.mean(0)) / scale[0] @ weight * scale[1] + y.mean(0)

    grid = [(penalty, k) for penalty in maps.PENALTIES for k in range(5)]
    errors = [((predicted(*point) - yv) ** 2).mean() for point in grid]
    penalty, k = grid[int(np.argmin(errors))]
    assert (found.info["penalty"], found.info["components"]) == (penalty, k)
    np.testing.assert_allclose(found.predict(xv), predicted(penalty, k))
    assert 0 < k < 4  # the choice is not at an edge


def test_the_correlations_of_cca_show_the_planted_number_of_shared_factors() -> None:
    draw = np.random.default_rng(4)
    shared = draw.normal(size=(3000, 2))
    x, y = (
        np.hstack([shared + 0.1 * draw.normal(size=(3000, 2)), draw.normal(size=(3000, 3))])
        @ rotation(5, seed)
        for seed in (1, 2)
    )
    found = fit_cca(PairedVectors.of(x, y, range(2000), range(2000, 3000)))
    strength = found.info["correlations"]
    assert strength[1] > 0.9 and strength[2] < 0.1
    assert found.info["components"] >= 2


def test_a_network_is_that_of_a_plain_training_loop() -> None:
    x, y, xv, _ = relation(n=1500, s=6, t=4)  # two batches an epoch
    found = fit_mlp_reference(
        pairs(x, y, xv, xv[:, :4]), seed=3, hidden=(7, 5), epochs=6, device="cpu"
    )
    model = nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 4))
    model.load_state_dict(networks.network((6, 7, 5, 4), seed=3).state_dict())
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    draw = torch_generator(3, "map: batches")
    inputs, targets = torch.tensor(x).float(), torch.tensor(y).float()
    for _ in range(6):
        order = torch.randperm(1500, generator=draw)
        for rows in (order[:1024], order[1024:]):
            optimiser.zero_grad()
            nn.functional.mse_loss(model(inputs[rows]), targets[rows]).backward()
            optimiser.step()
    expected = model(torch.tensor(xv).float()).detach().numpy()
    np.testing.assert_allclose(found.predict(xv), expected, rtol=1e-4, atol=1e-4)
    assert found.info["parameters"] == sum(p.numel() for p in model.parameters())


def test_initial_weights_are_uniform_within_one_over_the_root_of_the_inputs() -> None:
    first = networks.network((100, 400, 3), seed=0)[0]
    for drawn in (first.weight.detach(), first.bias.detach()):
        assert drawn.abs().max() <= 0.1
        assert drawn.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.1)


def test_the_references_linear_map_is_one_layer() -> None:
    x, y, xv, yv = relation()
    found = fit_mlp_reference(pairs(x, y, xv, yv), hidden=(), epochs=6)
    assert found.info["epochs"] == 6
    assert (found.name, found.info["parameters"]) == ("linear, reference", 6 * 4 + 4)
    zero, one = found.predict(np.zeros((1, 6))), found.predict(np.eye(6))
    np.testing.assert_allclose(found.predict(xv), xv @ (one - zero) + zero, rtol=1e-4, atol=1e-4)


def test_early_stopping_keeps_the_epoch_of_the_least_validation_error() -> None:
    x, y, xv, yv = relation(n=30, noise=20)
    found = fit_mlp(pairs(x, y, xv, yv), hidden=(64,), patience=7, device="cpu")
    errors = found.info["validation"]
    assert found.info["epochs"] == np.argmin(errors) + 1
    assert len(errors) == found.info["epochs"] + 7 < 400
    scale = np.sqrt(((y - y.mean(0)) ** 2).mean())
    kept = ((found.predict(xv) - yv) ** 2).mean() / scale**2
    assert kept == pytest.approx(min(errors), rel=1e-4)


def test_a_network_learns_what_no_line_can() -> None:
    x = np.random.default_rng(0).normal(size=(400, 2))
    y = np.abs(x)
    four = (x[:300], y[:300], x[300:], y[300:])
    line, curve = (
        fit_ridge(pairs(*four)),
        fit_mlp(pairs(*four), hidden=(64,), epochs=250, device="cpu"),
    )
    error = [((found.predict(x[300:]) - y[300:]) ** 2).mean() for found in (line, curve)]
    assert error[1] < 0.5 * error[0]


@pytest.mark.parametrize("name", SMALL)
def test_a_seed_gives_the_same_map_and_no_global_generator_is_used(name: str) -> None:
    four = relation()
    torch.manual_seed(0)
    first = SMALL[name](pairs(*four), seed=1).predict(four[2])
    torch.manual_seed(1)
    assert (SMALL[name](pairs(*four), seed=1).predict(four[2]) == first).all()
    other = SMALL[name](pairs(*four), seed=2).predict(four[2])
    assert ("mlp" in name) == (not np.array_equal(other, first))


def test_permuted_pairs_keep_the_vectors_and_lose_the_relation() -> None:
    x, y, xv, yv = relation(n=400, m=100, noise=0.1)
    seen = []

    def spy(given: PairedVectors, *, seed: int = 0) -> maps.Map:
        seen.extend([given.x, given.y, given.x_valid, given.y_valid])
        return fit_ridge(given)

    found = maps.permuted(spy)(pairs(x, y, xv, yv), seed=0)
    for plain, got in zip((x, y, xv, yv), seen, strict=True):
        assert sorted(map(tuple, plain)) == sorted(map(tuple, got))
    assert (seen[0] == x).all() and not (seen[1] == y).all() and not (seen[3] == yv).all()
    spread = ((yv - yv.mean(0)) ** 2).sum()
    assert 1 - ((found.predict(xv) - yv) ** 2).sum() / spread < 0.02
    again = maps.permuted(fit_ridge)(pairs(x, y, xv, yv), seed=0)
    assert (again.predict(xv) == found.predict(xv)).all()


def test_every_map_bears_the_name_it_is_listed_under_and_only_networks_take_epochs() -> None:
    four = relation(n=12, m=4)
    for name in probes.MAPS:
        found = probes.named(name, epochs=1, device="cpu")(pairs(*four), seed=0)
        assert found.name == name
        assert found.info.get("epochs") == (1 if name in probes.NETWORKS else None)
        assert found.predict(four[2]).shape == (4, 4)
        assert found.info["parameters"] >= 4


@pytest.mark.parametrize("name", SMALL)
def test_constant_vectors_are_no_trouble(name: str) -> None:
    ones = np.full((20, 3), 0.1)
    assert np.isfinite(SMALL[name](pairs(ones, ones[:, :2], ones, ones[:, :2])).predict(ones)).all()


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (0, np.full((110, 6), np.nan), "not finite"),
        (1, np.zeros((109, 4)), "110, 109 items were given; give all for the same items"),
        (1, np.zeros(110), r"shape \(110,\)"),
        (2, range(1), "1 training and 30 validation items"),
        (3, [], "80 training and 0 validation items"),
    ],
)
def test_bad_vectors_are_refused_in_one_sentence(place: int, value: Any, sentence: str) -> None:
    x, y, xv, yv = relation()
    given = [np.vstack([x, xv]), np.vstack([y, yv]), range(80), range(80, 110)]
    given[place] = value
    with pytest.raises(InputError, match=sentence):
        PairedVectors.of(*given)


def test_other_bad_input_is_refused_in_one_sentence() -> None:
    four = relation()
    given = pairs(*four)
    with pytest.raises(InputError, match="4 dimensions were given to the map 'ridge'; .* of 6"):
        fit_ridge(given).predict(four[3])
    with pytest.raises(InputError, match="hidden dimension = 0 was given; give a whole number"):
        fit_mlp(given, hidden=(3, 0))
    with pytest.raises(InputError, match="patience = 0 was given; give a whole number"):
        fit_mlp(given, hidden=(3,), patience=0)
    with pytest.raises(InputError, match="epochs = 0 was given; give a whole number"):
        fit_mlp_reference(given, hidden=(3,), epochs=0)
    with pytest.raises(InputError, match="map 'spline' is not known; choose one of 'procrustes', "):
        probes.named("spline")
    with pytest.raises(InputError, match="device 'tpu' is not known"):
        fit_mlp_reference(given, device="tpu")
