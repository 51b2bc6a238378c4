"""Exact top-K against a float64 sort in NumPy, over k × batch × memory, and by both routes.

Vectors are integers, so scores are exact in float32 and ties abound. The "fused" route is the one
CUDA takes, also to the largest of a row, its kernel replaced by plain torch; the kernel itself runs
in Triton's interpreter. The largest of a row are compared with NumPy's stable sort.
"""

import inspect
import os
import subprocess
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import lib.topk as module
from lib.core import InputError
from lib.topk import (
    FUSED,
    TILES,
    Blocks,
    Sizes,
    _by_partition,
    _by_topk,
    best,
    best_set,
    in_threads,
    plan_blocks,
    topk,
)


def plain_maxima(users, items, words):
    """What the Triton kernel computes."""
    gone = (words[:, :, None] >> torch.arange(32)) & 1 == 1
    scores = (users @ items.T).view(len(users), -1, 32)
    return scores.masked_fill(gone, -torch.inf).amax(2)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small blocks on a busy machine: a second thread would mostly be waited for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["tiles", "fused"])
def route(request, monkeypatch):
    if request.param == "fused":
        kernels = pytest.importorskip("lib.topk_triton", reason="triton is not installed")
        monkeypatch.setattr(kernels, "tile_maxima", plain_maxima)
        monkeypatch.setattr(module, "rank_tiles", module.rank_fused)
        monkeypatch.setattr(module, "TILES", FUSED)
        monkeypatch.setattr(module, "_by_partition", _by_topk)
    return request.param


def reference(users, items, k, exclude=None):
    """Sort every score in float64; the stable sort breaks ties by the smaller id."""
    scores = users.astype(np.float64) @ items.astype(np.float64).T
    if exclude is not None:
        scores[exclude.toarray() != 0] = -np.inf
    ids = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    scores = np.take_along_axis(scores, ids, 1)
    missing = ((0, 0), (0, max(0, k - items.shape[0])))
    ids = np.where(scores == -np.inf, -1, ids)
    return np.pad(ids, missing, constant_values=-1), np.pad(
        scores, missing, constant_values=-np.inf
    )


def whole_numbers(rng, *shape, size=3):
    return rng.integers(-size, size + 1, shape).astype(np.float32)


def check(users, items, k, exclude=None, **options):
    found = topk(users, items, k, exclude=exclude, **options)
    ids, scores = reference(users, items, k, exclude)
    assert (found.items.dtype, found.scores.dtype) == (torch.int32, torch.float32)
    np.testing.assert_array_equal(found.scores.numpy(), scores)
    np.testing.assert_array_equal(found.items.numpy(), ids)


def test_worked_by_hand(route):
    users = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    items = np.array([[2.0, 1.0], [3.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
    exclude = sp.csr_matrix(([1.0, 1.0], ([1, 1], [0, 3])), shape=(3, 4))
    found = topk(users, items, 3, exclude=exclude)
    assert found.items.tolist() == [[1, 0, 3], [2, 1, -1], [0, 1, 3]]
    assert found.scores.tolist() == [[3, 2, 1], [1, 0, -np.inf], [3, 3, 3]]


@pytest.mark.parametrize("memory", [None, 1 << 19])
@pytest.mark.parametrize("n", [1, 90])
@pytest.mark.parametrize("k", [1, 7, 60, 1999, 2100])
def test_sweep_of_k_batch_and_memory(route, k, n, memory):
    rng = np.random.default_rng(k * n)
    users, items = whole_numbers(rng, n, 6), whole_numbers(rng, 2003, 6)
    exclude = sp.random(n, 2003, 0.02, format="csr", rng=rng)
    if memory is not None and k > 1000:
        memory *= 4  # a list alone is 16 KB
    check(users, items, k, exclude, memory=memory)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 40),
    m=st.integers(1, 700),
    d=st.integers(1, 9),
    k=st.integers(1, 50),
    size=st.integers(0, 4),
    density=st.floats(0, 1),
    memory=st.sampled_from([None, 1 << 17, 1 << 18]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_input(n, m, d, k, size, density, memory, seed):
    rng = np.random.default_rng(seed)
    users, items = whole_numbers(rng, n, d, size=size), whole_numbers(rng, m, d, size=size)
    check(users, items, k, sp.random(n, m, density, format="csr", rng=rng), memory=memory)


def test_all_scores_equal(route):
    found = topk(np.zeros((5, 3)), np.ones((4000, 3)), 30, memory=1 << 18)
    assert (found.items == torch.arange(30)).all() and (found.scores == 0).all()


def test_signed_zeros_are_a_tie(route):
    items = np.where(np.arange(900) % 2, 0.0, -0.0)[:, None]
    assert (topk(np.ones((2, 1)), items, 9).items == torch.arange(9)).all()


def test_a_user_excluded_from_everything(route):
    rng = np.random.default_rng(0)
    users, items = whole_numbers(rng, 6, 4), whole_numbers(rng, 900, 4)
    seen = np.zeros((6, 900))
    seen[2] = seen[4, :895] = 1
    check(users, items, 12, sp.csr_matrix(seen))
    check(users, items, 12, sp.csr_matrix(seen), memory=1 << 18)


def test_exclude_in_any_sparse_form():
    rng = np.random.default_rng(1)
    users, items = whole_numbers(rng, 9, 4), whole_numbers(rng, 50, 4)
    seen = sp.random(9, 50, 0.3, format="csr", rng=rng)
    twice = sp.coo_array((np.ones(4), ([0, 0, 1, 1], [3, 3, 4, 4])), shape=(9, 50))
    stored_zero = seen.copy()
    stored_zero.data[::2] = 0
    for exclude in (seen.tocsc(), sp.csr_array(seen), sp.csr_array(twice), twice, stored_zero):
        before = exclude.nnz
        check(users, items, 8, exclude)
        assert exclude.nnz == before  # the caller's matrix is left as it was


def test_any_real_dtype_and_layout():
    rng = np.random.default_rng(2)
    users, items = whole_numbers(rng, 9, 4), whole_numbers(rng, 40, 4)
    expected = topk(users, items, 5).items
    frozen = users.copy()
    frozen.flags.writeable = False
    weights = torch.nn.Parameter(torch.from_numpy(items))
    for given_users, given_items in (
        (frozen, weights),
        (users.astype(np.float64), items.astype(np.int64)),
        (torch.from_numpy(users).half(), torch.from_numpy(items).bfloat16()),
        (np.asfortranarray(users), torch.from_numpy(np.ascontiguousarray(items.T)).T),
        (users[::-1][::-1], np.repeat(items, 2, 1)[:, ::2]),
        (users[::-1].copy()[::-1], items[:, ::-1].copy()[:, ::-1]),
    ):
        found = topk(given_users, given_items, 5)
        assert torch.equal(found.items, expected) and not found.scores.requires_grad


def gaussian(n, m, d, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=rng), torch.randn(m, d, generator=rng)


@pytest.mark.parametrize("d", [5, 64, 384])
def test_the_same_bits_for_any_memory_and_threads(d):
    users, items = gaussian(70, 3000, d)
    whole = topk(users, items, 20)
    exact = reference(users.numpy(), items.numpy(), 20)[1]
    np.testing.assert_allclose(whole.scores, exact, rtol=0, atol=1e-5 * d**0.5)
    for memory in (1 << 18, 1 << 20, 1 << 22):
        part = topk(users, items, 20, memory=memory)
        assert torch.equal(part.items, whole.items) and torch.equal(part.scores, whole.scores)
    try:
        torch.set_num_threads(2)
        assert torch.equal(topk(users, items, 20).scores, whole.scores)
    finally:
        torch.set_num_threads(1)


def test_autocast_does_not_round_scores():
    users, items = gaussian(20, 500, 64)
    whole = topk(users, items, 20)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(topk(users, items, 20).scores, whole.scores)


def test_copies_of_one_item_are_ordered_by_id(route):
    users, items = gaussian(50, 1, 33)
    found = topk(users, items.repeat(2500, 1), 40, memory=1 << 20)
    assert (found.items == torch.arange(40)).all()


@pytest.mark.parametrize("limits", [TILES, FUSED])
@pytest.mark.parametrize("shape", [(1, 1, 1), (943, 1349, 384), (10**6, 10**6, 64)])
@pytest.mark.parametrize("k", [1, 20, 10**6])
@pytest.mark.parametrize("memory", [1 << 28, 1 << 30])
@pytest.mark.parametrize("threads", [1, 2, 64])
def test_the_plan_fits(shape, k, memory, limits, threads):
    sizes = Sizes(*shape, k=min(k, shape[1]), excluded=100)
    blocks = plan_blocks(sizes, limits, memory, threads)
    assert limits.need(blocks, sizes) <= memory
    assert 1 <= blocks.users <= shape[0] and blocks.items % limits.tile == 0
    assert 1 <= blocks.workers <= threads


def test_every_block_is_worked_on_once_by_several_threads():
    done = []
    in_threads(range(0, 5000, 3), done.append, 4)
    assert sorted(done) == list(range(0, 5000, 3))


def test_an_error_in_one_thread_stops_all():
    begun = []

    def work(start):
        begun.append(start)
        raise InputError("No.")

    with pytest.raises(InputError):
        in_threads(range(10**6), work, 2)
    assert len(begun) <= 2


class Allocations(TorchDispatchMode):
    """Watch the bytes of the tensors that live, from what every operation returns."""

    def __init__(self, *inputs):
        super().__init__()
        self.known = {id(x.untyped_storage()): x.untyped_storage() for x in inputs}
        self.live = self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        results = function(*args, **kwargs or {})
        for result in tree_leaves(results):
            if isinstance(result, torch.Tensor):
                self.count(result.untyped_storage())
        return results

    def count(self, storage):
        key, size = id(storage), storage.nbytes()
        if key in self.known:
            return

        def freed(_):
            self.live -= size
            del self.known[key]

        self.known[key] = weakref.ref(storage, freed)
        self.live += size
        self.peak = max(self.peak, self.live)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("shape", "k", "memory"),
    [
        ((100, 5000, 16), 20, 1 << 20),
        ((600, 5000, 16), 20, 1 << 25),
        ((30, 3000, 200), 3000, 1 << 23),
        ((60, 40_000, 8), 100, 1 << 24),
        ((20, 300, 900), 5, 1 << 20),
    ],
)
def test_peak_memory(route, shape, k, memory, ties):
    n, m, d = shape
    users, items = gaussian(n, m, d)
    users *= not ties
    exclude = sp.random(n, m, 20 / m, format="csr", rng=np.random.default_rng(0))
    with Allocations(users):
        topk(users[:1], items, 1)  # let torch import what it needs
    tracemalloc.start()
    with Allocations(users, items) as seen:
        topk(users, items, k, exclude=exclude, memory=memory)
    arrays = tracemalloc.get_traced_memory()[1]  # NumPy's, and Python's own
    tracemalloc.stop()
    assert memory / 20 < seen.peak + arrays - 8 * n * k <= memory


FINITE = np.ones((3, 2), dtype=np.float32)
BEYOND = sp.csr_matrix((np.ones(1), np.array([2**32 + 1]), np.array([0, 1, 1, 1])), shape=(3, 3))


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((np.full((3, 2), np.nan), FINITE, 1), {}, "users hold NaN or infinite"),
        ((FINITE, np.array([[1.0, -np.inf]]), 1), {}, "items hold NaN or infinite"),
        ((FINITE, np.ones((3, 4)), 1), {}, "dimension 2 and items 4"),
        ((FINITE[:0], FINITE, 1), {}, r"users has shape \(0, 2\)"),
        ((FINITE, FINITE[:, :0], 1), {}, r"items has shape \(3, 0\)"),
        ((FINITE, FINITE[0], 1), {}, r"items has shape \(2,\)"),
        ((FINITE, "text", 1), {}, "items were given as str"),
        ((FINITE * 1j, FINITE, 1), {}, "users were given as ndarray"),
        ((FINITE * 1e20, FINITE * 1e20, 1), {}, "scale them down"),
        ((FINITE, FINITE, 0), {}, "k = 0 "),
        ((FINITE, FINITE, 2.5), {}, "k = 2.5 "),
        ((FINITE, FINITE, True), {}, "k = True "),
        ((FINITE, FINITE, 1), {"memory": 0}, "memory = 0 "),
        ((FINITE, FINITE, 1), {"memory": 1000}, "memory = 1,000 bytes is too little"),
        ((FINITE * np.float64(1e39), FINITE * 1e-39, 1), {}, "scale them down"),
        ((FINITE, FINITE, 1), {"exclude": "seen"}, "items to exclude were given as str"),
        ((FINITE, FINITE, 1), {"exclude": sp.csr_matrix((2, 3))}, r"exclude is shape \(2, 3\)"),
        (
            (FINITE, FINITE, 1),
            {"exclude": BEYOND},
            r"items to exclude .* \(indices must be < 3\)",
        ),
        ((FINITE, torch.ones(1, 2).expand(2**31, 2), 1), {}, "2,147,483,648 items"),
        ((FINITE, FINITE, 1), {"device": "abacus"}, "device 'abacus' is not known"),
        ((FINITE, FINITE, 1), {"device": "meta"}, "device 'meta' is not known"),
    ],
)
def test_bad_input_is_answered_by_one_sentence(arguments, options, words):
    with pytest.raises(InputError, match=words) as caught:
        topk(*arguments, **options)
    sentence = str(caught.value)
    assert not sentence.endswith(".") and ". " not in sentence and "\n" not in sentence


def test_the_least_memory_named_is_enough():
    with pytest.raises(InputError) as caught:
        topk(FINITE, FINITE, 2, memory=1)
    least = int(str(caught.value).split("at least ")[1].replace(",", ""))
    check(FINITE, FINITE, 2, memory=least)
    with pytest.raises(InputError):
        topk(FINITE, FINITE, 2, memory=least - 1)


INTERPRETED = """
from lib.topk_triton import tile_maxima
rng = torch.Generator().manual_seed(0)
for n, tiles, d in ((70, 9, 40), (3, 1, 1), (64, 30, 64)):
    users = torch.randint(-3, 4, (n, d), generator=rng).float()
    items = torch.randint(-3, 4, (32 * tiles, d), generator=rng).float()
    words = torch.randint(-2**31, 2**31, (n, tiles), generator=rng).int()
    words[0] = -1
    assert torch.equal(tile_maxima(users, items, words), plain_maxima(users, items, words))
print("equal")
"""

COMPILED = """
import re, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
import lib.topk_triton as module
names = module._maxima_kernel.arg_names
types = ["*fp32", "*fp32", "*i32", "*fp32", "i32", "i32", "i32"] + 4 * ["constexpr"]
sizes = dict(tile=32, block=module.USERS, tiles=module.TILES, depth=module.DEPTH)
source = ASTSource(fn=module._maxima_kernel, signature=dict(zip(names, types)), constexprs=sizes)
code = triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]
assert "fma.rn.f32" in code and not re.search("mma|tf32", code)  # IEEE float32, no TF32
print("compiled")
"""


@pytest.mark.parametrize(
    ("script", "interpret", "word"), [(INTERPRETED, "1", "equal"), (COMPILED, "0", "compiled")]
)
def test_triton_kernel(script, interpret, word, tmp_path):
    """Run the kernel in Triton's interpreter, and compile it for an H100 without one."""
    pytest.importorskip("triton", reason="triton is not installed: the CUDA kernel is not tested")
    places = {"TRITON_INTERPRET": interpret, "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", "import torch\n" + inspect.getsource(plain_maxima) + script],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | places | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == word, done.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize("memory", [None, 1 << 24])
def test_cuda_gives_the_same_lists(memory):
    rng = np.random.default_rng(3)
    users, items = whole_numbers(rng, 300, 50), whole_numbers(rng, 5003, 50)
    exclude = sp.random(300, 5003, 0.01, format="csr", rng=rng)
    check(users, items, 20, exclude, device="cuda", memory=memory)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(InputError, match="torch sees no GPU"):
        topk(FINITE, FINITE, 1, device="cuda")
    check(FINITE, FINITE, 1, device="auto")


def test_blocks_cover_what_does_not_divide():
    """Two even blocks: nearly nothing is computed for padding."""
    assert plan_blocks(Sizes(10, 70_000, 64, 20), TILES, 1 << 28) == Blocks(10, 35_008, 1)


# the largest values of a row

# few different values, so that ties abound
VALUES = st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 2.0, 1e30])


def largest(values, k):
    """Negate and sort: the stable sort leaves equal values in the order of their positions."""
    return np.argsort(-values, axis=1, kind="stable")[:, :k]


def test_the_largest_worked_by_hand():
    values = torch.tensor([[3.0, 5.0, 3.0, 9.0, 3.0], [0.0, -0.0, -1.0, 0.0, 0.0]])
    assert best(values, 3).tolist() == [[3, 1, 0], [0, 1, 3]]
    assert best_set(values, 3).tolist() == [[0, 1, 3], [0, 1, 3]]
    assert best(values, 9).tolist() == [[3, 1, 0, 2, 4], [0, 1, 3, 4, 2]]
    assert best_set(values, 5).tolist() == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("route", [_by_partition, _by_topk])
def test_of_equal_values_at_the_end_the_smaller_positions_are_in(route):
    values = torch.tensor([[1.0, 2.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0], [7.0, 7.0, 7.0, 7.0]])
    assert route(values, 2).tolist() == [[0, 1], [2, 3], [0, 1]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_largest_of_any_values(dtype, data):
    shape = data.draw(array_shapes(min_dims=2, max_dims=2, max_side=40))
    values = data.draw(arrays(dtype, shape, elements=VALUES))
    k = data.draw(st.integers(1, shape[1] + 3))
    expected = largest(values, k)
    given_values = torch.from_numpy(values.copy())
    np.testing.assert_array_equal(best(given_values, k), expected)
    np.testing.assert_array_equal(best_set(given_values, k), np.sort(expected, axis=1))
    if k < shape[1]:
        for route in (_by_partition, _by_topk):
            np.testing.assert_array_equal(route(given_values, k), np.sort(expected, axis=1))
    np.testing.assert_array_equal(given_values, values)  # what was given is left as it was


def test_values_without_ties_and_wide_rows():
    values = np.random.default_rng(0).normal(size=(50, 3000)).astype(np.float32)
    for k in (1, 20, 2999):
        np.testing.assert_array_equal(best(torch.from_numpy(values), k), largest(values, k))


def test_a_view_of_a_table_and_weights_with_a_gradient():
    values = torch.randn(6, 90, generator=torch.Generator().manual_seed(0))
    weights = torch.nn.Parameter(values)
    for some in (values.T.contiguous().T, weights, torch.cat([values, values], 1)[:, :90]):
        np.testing.assert_array_equal(best(some, 7), largest(values.numpy(), 7))
