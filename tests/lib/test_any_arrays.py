"""Every public name takes arrays in any form that a person may hold, or says why not, once."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import lib
from lib.dataset import Dataset
from lib.topk import topk

# all of these are exact in bfloat16
LISTS = np.array([[0, 3, 2], [4, 1, -1], [2, 0, 4], [3, -1, -1]])
OTHER = np.array([[3, 1, 4], [4, 0, 2], [1, 3, -1], [0, 3, 2]])
RELEVANT = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 1, 0]])
USERS = np.array([[1.0, 0.5], [-2, 1], [0.25, 3], [0, -1]])
ITEMS = np.array([[2.0, 1], [-1, 4], [0.5, 0.5], [3, -2], [0, 1]])
COUNTS = np.array([5, 1, 3, 0, 8])
VALUES, BASE = np.array([0.5, 0.25, 1, 0]), np.array([0.25, 0.5, 0.5, 1])
SCORES = np.array([[3, 2, 1.5], [2, 1, 0], [4, 2, 1], [1, 0, 0]])


def world() -> Dataset:
    """Return a dataset of the relevant items above and others."""
    train = sp.csr_matrix(np.roll(RELEVANT, 1, axis=1), dtype=np.float32)
    valid = sp.csr_matrix(train.shape, dtype=np.float32)
    items = pd.DataFrame({"text": list("abcde"), "key": list("abcde")})
    return Dataset("five", train, valid, sp.csr_matrix(RELEVANT, dtype=np.float32), items, {})


def chosen(grid: Any) -> Any:
    views = [(USERS, ITEMS), (USERS[:, ::-1], ITEMS[:, ::-1])]
    return lib.choose_weights(views, lambda fused: float(fused.items[0, 0]), grid)


def fitted(**parts: Any) -> Any:
    data = world()
    given = {"name": data.name, "items": data.items, "card": {}} | {
        part: parts.get(part, getattr(data, part)) for part in ("train", "valid", "test")
    }
    made = Dataset(**given)
    return made.train.toarray(), made.test.toarray(), made.seen.toarray(), made.digest


def estimated(mean: Any) -> Any:
    measures = dict.fromkeys(("ratio", "semantic", "collaborative", "popularity"))
    return lib.judge("F1", {name: mean for name in measures}).word


Case = tuple[Callable[..., Any], tuple[Any, ...]]
# a public name → what to call, and the arrays that a person brings
CASES: dict[str, Case] = {
    "Dataset": (lambda a, b: fitted(train=a, test=b), (np.roll(RELEVANT, 1, axis=1), RELEVANT)),
    "Estimate": (lambda a: lib.summary(a), (VALUES,)),
    "InputError": (lambda a: lib.summary(a), (VALUES,)),
    "TopK": (lambda u, i, e: topk(u, i, 3, exclude=e), (USERS, ITEMS, RELEVANT)),
    "View": (lambda u, i: lib.lists(lib.View(u, i, {}), world(), 3), (USERS, ITEMS)),
    "best_of_union": (lambda a, b, r: lib.best_of_union([a, b], r, 3), (LISTS, OTHER, RELEVANT)),
    "choose_weights": (chosen, (np.array([[0.5, 0.5], [1, 0]]),)),
    "comb_sum": (
        lambda a, b, s, t: lib.comb_sum([a, b], [s, t], 4),
        (LISTS, OTHER, SCORES, SCORES),
    ),
    "complementary": (lib.complementary, (LISTS, OTHER, RELEVANT)),
    "composition": (lib.composition, (LISTS, OTHER, RELEVANT)),
    "concat": (
        lambda u, i, w: lib.concat([(u, i), (USERS, ITEMS)], w),
        (USERS, ITEMS, np.array([1.0, 3])),
    ),
    "fit": (lambda a: lib.fit(fitted_dataset(a), "popularity").items, (RELEVANT,)),
    "hit_popularity": (lib.hit_popularity, (LISTS, OTHER, RELEVANT, COUNTS)),
    "hits": (lib.hits, (LISTS, RELEVANT)),
    "holm": (lib.holm, (np.array([0.5, 0.25, 0.125]),)),
    "jaccard": (lib.jaccard, (LISTS, OTHER)),
    "judge": (lambda a: estimated(lib.summary(a)), (VALUES,)),
    "lists": (lambda u, i: lib.lists(lib.View(u, i, {}), world(), 3), (USERS, ITEMS)),
    "models": (lambda: lib.models(), ()),
    "ndcg": (lib.ndcg, (LISTS, RELEVANT)),
    "neighbourhood_preservation": (
        lambda x, y: lib.neighbourhood_preservation(x, y, 2),
        (ITEMS, ITEMS[::-1].copy()),
    ),
    "oracle": (lambda a, b, r: lib.oracle([a, b], r), (LISTS, OTHER, RELEVANT)),
    "paired": (lambda a, b: lib.paired(a, b, draws=50), (VALUES, BASE)),
    "ratio": (lib.ratio, (VALUES, BASE)),
    "recall": (lib.recall, (LISTS, RELEVANT)),
    "rrf": (lambda a, b: lib.rrf([a, b], 4), (LISTS, OTHER)),
    "summary": (lib.summary, (VALUES,)),
}


def fitted_dataset(train: Any) -> Dataset:
    data = world()
    return Dataset(data.name, train, data.valid, data.test * 0, data.items, {})


def strided(x: np.ndarray) -> np.ndarray:
    """Return an array whose entries lie apart."""
    wide = np.zeros([2 * n for n in x.shape], dtype=x.dtype)
    part = wide[tuple(slice(None, None, 2) for _ in x.shape)]
    part[...] = x
    return part


def backwards(x: np.ndarray) -> np.ndarray:
    """Return an array with negative strides."""
    around = tuple(slice(None, None, -1) for _ in x.shape)
    return x[around].copy()[around]


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def tensor(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x.copy())


def frame(x: np.ndarray) -> Any:
    return pd.Series(x) if x.ndim == 1 else pd.DataFrame(x)


TAKEN: dict[str, Callable[[np.ndarray], Any]] = {
    "a list": lambda x: x.tolist(),
    "tuples": lambda x: tuple(map(tuple, x.tolist())) if x.ndim == 2 else tuple(x.tolist()),
    "a list of rows": list,
    "Fortran's order": np.asfortranarray,
    "strides": strided,
    "negative strides": backwards,
    "read-only": read_only,
    "the other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "an unmasked array": np.ma.array,
    "objects": lambda x: x.astype(object),
    "a tensor": tensor,
    "a tensor with strides": lambda x: tensor(strided(x))[...],
    "a transposed tensor": lambda x: tensor(x.T).T if x.ndim == 2 else tensor(x),
    "a data frame": frame,
    "a data frame of nullable columns": lambda x: frame(x).convert_dtypes(),
    "a data frame with names": lambda x: frame(x).set_axis(list("zyxwvut")[: len(x)]),
    "int32 or float32": lambda x: x.astype(np.int32 if x.dtype.kind == "i" else np.float32),
}
FLOATS: dict[str, Callable[[np.ndarray], Any]] = {
    "float16": lambda x: x.astype(np.float16),
    "long double": lambda x: x.astype(np.longdouble),
    "bfloat16": lambda x: tensor(x).bfloat16(),
    "half with gradient": lambda x: tensor(x).half().requires_grad_(),
    "float32 with gradient": lambda x: tensor(x).float().requires_grad_(),
    "the result of a layer": lambda x: 1.0 * tensor(x).double().requires_grad_(),
}
SPARSE: dict[str, Callable[[np.ndarray], Any]] = {
    "CSR": sp.csr_matrix,
    "a CSR array": sp.csr_array,
    "CSC": sp.csc_matrix,
    "COO": sp.coo_array,
    "LIL": sp.lil_matrix,
    "DOK": sp.dok_array,
    "float32 CSR": lambda x: sp.csr_matrix(x, dtype=np.float32),
    "bool CSR": lambda x: sp.csr_matrix(x.astype(bool)),
    "pairs twice": lambda x: twice(x),
    "stored zeros": lambda x: stored_zeros(x),
    "booleans": lambda x: x.astype(bool),
    "grades": lambda x: 3.5 * x,
}
REFUSED: dict[str, Callable[[np.ndarray], Any]] = {
    "None": lambda x: None,
    "a word": lambda x: "words",
    "a number": lambda x: 7,
    "a mapping": lambda x: {"a": 1},
    "a function": lambda x: len,
    "nothing": lambda x: [],
    "texts": lambda x: x.astype(str),
    "complex numbers": lambda x: x + 0j,
    "dates": lambda x: x.astype("datetime64[s]"),
    "masked entries": lambda x: np.ma.masked_equal(x, x.max()),
    "masked rows": lambda x: [np.ma.masked_equal(row, np.max(row)) for row in x],
    "ragged rows": lambda x: [*x.tolist()[:-1], [1, 2, 3, 4, 5, 6, 7]],
    "a missing entry": lambda x: frame(x).convert_dtypes().mask(frame(x) == x.max()),
    "None inside": lambda x: [*x.tolist()[:-1], None],
    "a deeper array": lambda x: x[None, None],
    "a generator": lambda x: (row for row in x),
    "a complex tensor": lambda x: tensor(x) * 1j,
    "a sparse tensor": lambda x: tensor(x).to_sparse(),
    "a tensor without values": lambda x: torch.empty(x.shape, device="meta"),
    "infinity": lambda x: np.where(x == x.max(), np.inf, x),
    "a column of words": lambda x: pd.DataFrame({"a": ["x"] * len(x), "b": 1}),
}


OF_USERS = {"Estimate", "InputError", "holm", "judge", "paired", "ratio", "summary"}


def twice(x: np.ndarray) -> sp.csr_matrix:
    """Return a CSR of int8 that stores every pair 256 times."""
    rows, columns = np.nonzero(x)
    ends = np.cumsum([0, *np.count_nonzero(x, axis=1) * 256])
    data = np.ones(256 * len(rows), dtype=np.int8)
    return sp.csr_matrix((data, np.repeat(columns, 256), ends), shape=x.shape)


def stored_zeros(x: np.ndarray) -> sp.csr_matrix:
    every = sp.csr_matrix(np.ones(x.shape))
    every.data[:] = x.ravel()
    return every


@dataclass
class Answer:
    """What a call returned, as plain arrays, or the one sentence that it refused with."""

    value: Any = None
    sentence: str = ""


def plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {name: plain(of) for name, of in value.items()}
    if isinstance(value, tuple | list):
        return [plain(of) for of in value]
    if isinstance(value, pd.DataFrame):
        return {name: value[name].to_numpy() for name in value}
    return value.numpy() if isinstance(value, torch.Tensor) else value


def ask(name: str, arguments: list[Any]) -> Answer:
    """Call a public name; anything but a result or one sentence is a fault of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Sparse invariant checks")  # torch's own
        try:
            return Answer(plain(CASES[name][0](*arguments)))
        except lib.InputError as refused:
            sentence = str(refused)
    assert sentence and "\n" not in sentence and not sentence.endswith("."), sentence
    assert ". " not in sentence and len(sentence) < 400, sentence
    return Answer(sentence=sentence)


def same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, list | dict):
        assert len(found) == len(wanted)
        keys = wanted if isinstance(wanted, dict) else range(len(wanted))
        for key in keys:
            same(found[key], wanted[key])
    else:
        np.testing.assert_array_equal(found, wanted)


def forms(name: str, kind: dict[str, Callable[[np.ndarray], Any]]) -> Iterator[tuple[str, Any]]:
    """Yield a name's arguments with one of them in another form."""
    arrays = CASES[name][1]
    for at, array in enumerate(arrays):
        for form, make in kind.items():
            yield f"{form}, argument {at}", [*arrays[:at], make(array), *arrays[at + 1 :]]


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path_factory.getbasetemp() / "arrays"))


def test_every_public_name_is_walked() -> None:
    assert sorted(CASES) == sorted(lib.__all__)


@pytest.mark.parametrize("name", CASES)
def test_all_forms_of_an_array_give_the_same(name: str) -> None:
    whole = ask(name, list(CASES[name][1]))
    assert not whole.sentence
    for form, arguments in forms(name, TAKEN):
        found = ask(name, arguments)
        assert not found.sentence, (form, found.sentence)
        same(found.value, whole.value)


@pytest.mark.parametrize("name", CASES)
def test_all_floats_give_the_same_or_are_refused_for_ids(name: str) -> None:
    whole = ask(name, list(CASES[name][1]))
    for form, arguments in forms(name, FLOATS):
        found = ask(name, arguments)
        at = int(form[-1])
        if CASES[name][1][at] is LISTS or CASES[name][1][at] is OTHER:
            assert "signed integers" in found.sentence, form
        else:
            assert not found.sentence, (form, found.sentence)
            same(found.value, whole.value)


@pytest.mark.parametrize("name", CASES)
def test_relevant_items_in_any_matrix_give_the_same(name: str) -> None:
    whole = ask(name, list(CASES[name][1]))
    for at, array in enumerate(CASES[name][1]):
        if array.shape != RELEVANT.shape or array.max() > 1:
            continue
        for form, make in SPARSE.items():
            arguments = list(CASES[name][1])
            arguments[at] = make(array)
            before = arguments[at].copy()
            found = ask(name, arguments)
            assert not found.sentence, (form, found.sentence)
            same(found.value, whole.value)
            if sp.issparse(before):  # the caller's matrix is as it was
                assert before.nnz == arguments[at].nnz
                same(before.toarray(), arguments[at].toarray())


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_array_of_numbers_is_refused_in_one_sentence(name: str) -> None:
    # None is a default of weights and exclude; a user's value may be missing, which NaN says
    either = {"None", "infinity", "nothing"} | ({"a missing entry"} if name in OF_USERS else set())
    for form, arguments in forms(name, REFUSED):
        found = ask(name, arguments)
        if form.split(",")[0] not in either:
            assert found.sentence, (form, found.value)


@pytest.mark.parametrize("call", [lib.recall, lib.ndcg, lib.hits, lib.jaccard])
def test_ids_of_64_bits_stay_whole(call: Callable[..., Any]) -> None:
    large = np.array([[2**40 + 1, 2**40], [7, 2**40 + 1]])
    for kind in (np.int64, np.uint64):
        shared = lib.jaccard(large.astype(kind), large[:, ::-1] - 2**40 * (large[:, ::-1] > 7))
        assert shared.tolist() == [0, 1 / 3]
        fused = lib.rrf([large.astype(kind), large], 2)
        assert fused.tolist() == large.tolist() and fused.dtype == np.int64
    with pytest.raises(lib.InputError, match="type uint64"):
        lib.rrf([np.array([[2**63]], dtype=np.uint64)], 1)
    with pytest.raises(lib.InputError, match=str(2**40 + 1)):
        lib.recall(large, np.zeros((2, 5)))


OTHERS: list[tuple[str, Callable[[], Any], str]] = [
    ("k of 2.5", lambda: lib.lists(lib.View(USERS, ITEMS, {}), world(), 2.5), "k = 2.5"),
    ("k of words", lambda: lib.neighbourhood_preservation(ITEMS, ITEMS, "a"), "k = a"),
    ("k of 2.5 of a union", lambda: lib.best_of_union([LISTS], RELEVANT, 2.5), "k = 2.5"),
    ("k of 2.5 of a fusion", lambda: lib.rrf([LISTS], 2.5), "k = 2.5"),
    (
        "a part of another name",
        lambda: lib.lists(lib.View(USERS, ITEMS, {}), world(), 2, part="Test"),
        "give 'test' or 'valid'",
    ),
    ("huge weights", lambda: lib.concat([(USERS, ITEMS)] * 2, [1e308, 1e308]), "finite sum"),
    ("huge scores", lambda: lib.comb_sum([LISTS] * 2, [SCORES * 1e307] * 2, 3), "finite scores"),
    ("infinite values", lambda: lib.paired([np.inf, 1, 2], [0, 1, 3]), "give finite values"),
    ("totals too large", lambda: lib.paired([1.7e308, 0], [0, 0]), "give finite values"),
    ("a seed below 0", lambda: lib.summary(VALUES, seed=-1), "seed = -1"),
    ("a seed of 2.5", lambda: lib.paired(VALUES, BASE, seed=2.5), "seed = 2.5"),
    ("a seed of a fit", lambda: lib.fit(world(), "popularity", seed=-1), "seed = -1"),
    ("c of words", lambda: lib.rrf([LISTS], 2, c="60"), "c = 60"),
    ("no sequence of lists", lambda: lib.oracle(None, RELEVANT), "no lists were given"),
    ("one array of lists", lambda: lib.oracle(LISTS, RELEVANT), r"shape \(3,\)"),
    ("one view", lambda: lib.concat(lib.View(USERS, ITEMS, {})), "no views were given"),
    ("vectors for views", lambda: lib.concat([USERS, ITEMS]), "neither a View nor a pair"),
    ("numbers for views", lambda: lib.concat([1, 2]), "neither a View nor a pair"),
    ("a measure that is none", lambda: estimated(0.5), "Estimate"),
    ("parts of two sizes", lambda: fitted(test=RELEVANT[:, :4]), r"\(4, 5\)"),
]


@pytest.mark.parametrize(("call", "words"), [of[1:] for of in OTHERS], ids=[of[0] for of in OTHERS])
def test_other_values_are_refused_in_one_sentence(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(lib.InputError, match=words) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_views_are_taken_where_pairs_are() -> None:
    view = lib.View(torch.from_numpy(USERS), torch.from_numpy(ITEMS), {})
    same(plain(lib.concat([view, view])), plain(lib.concat([(USERS, ITEMS)] * 2)))


@pytest.mark.filterwarnings("error")
def test_vectors_of_any_length_keep_their_direction() -> None:
    """Squares of 1e308 are infinite and those of 1e-200 zero: both rows became zeros."""
    sizes = np.array([[1e308], [1e-200], [1e-308], [1.0]])
    given = sizes * USERS
    np.testing.assert_allclose(lib.core.unit(given), lib.core.unit(USERS), rtol=1e-12)
    assert lib.core.unit(np.zeros((2, 2))).tolist() == [[0, 0], [0, 0]]


@pytest.mark.filterwarnings("error")
def test_no_p_value_stands_beside_a_nan() -> None:
    for size in (1e300, 1e150, 1e-300):
        found = lib.paired(VALUES * size, BASE * size)
        assert np.isfinite(found).all() and found.p == lib.paired(VALUES, BASE).p
        assert found.effect == pytest.approx(lib.paired(VALUES, BASE).effect)
    assert np.isnan(lib.paired([np.nan], [1.0])[:-1]).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize("name", CASES)
def test_tensors_on_a_gpu_give_the_same(name: str) -> None:
    whole = ask(name, list(CASES[name][1]))
    for form, arguments in forms(name, {"on a GPU": lambda x: tensor(x).cuda()}):
        found = ask(name, arguments)
        assert not found.sentence, (form, found.sentence)
        same(found.value, whole.value)
