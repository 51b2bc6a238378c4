"""What a pickle says of its arrays is checked before NumPy believes it."""

import io
import pickle
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pickles_that_run import Attack, pickled

from companion.data import pickles
from lib.core import InputError

TABLE = pd.DataFrame({"n": [1, 2, 3], "text": pd.Series(["a", "b", "c"], dtype=object)})
TABLE.columns = TABLE.columns.astype(object)
SOUND = pickled(TABLE)


@dataclass
class Call:
    """Pickled, it is a call of a function with arguments, and then a state."""

    function: object
    arguments: tuple[object, ...]
    state: object = None

    def __reduce__(self) -> tuple[object, ...]:
        return self.function, self.arguments, self.state


def test_a_table_in_a_pickle_is_read() -> None:
    table = pd.DataFrame({"ItemID": [1, 2], "Title": pd.Series(["a", None], dtype=object)})
    table.columns = table.columns.astype(object)
    found = pickles.unpickle_table(pickled(table), "table.pkl")
    pd.testing.assert_frame_equal(found, table)


@pytest.mark.parametrize("inside", ["alone", "in a table"])
def test_a_pickle_that_runs_a_command_is_refused_and_does_not_run(
    tmp_path: Path, inside: str
) -> None:
    mark = tmp_path / "ran"
    attack = Attack(mark)
    bad = attack if inside == "alone" else pd.DataFrame({"a": pd.Series([attack], dtype=object)})
    with pytest.raises(InputError, match=r"asks for 'posix\.system'"):
        pickles.unpickle_table(pickled(bad), "bad.pkl")
    assert not mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a pickle",
        pickle.dumps([1, 2]),
        pickled(pd.DataFrame({"a": [1]}))[:-40],
        b"cpandas.core.frame\nDataFrame.eval\n.",  # a way through an allowed name
        b"cbuiltins\neval\n(S'1'\ntR.",
    ],
)
def test_other_pickles_are_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(InputError) as fault:
        pickles.unpickle_table(data, "x.pkl")
    assert "\n" not in str(fault.value)


def test_a_name_in_a_pickle_with_a_line_in_it_is_one_sentence() -> None:
    with pytest.raises(InputError) as fault:
        pickles.unpickle_table(b"\x80\x04\x8c\x03a\nb\x8c\x01c\x93.", "table.pkl")
    assert "\n" not in str(fault.value)


def test_numbers_and_texts_come_back() -> None:
    numbers = pd.DataFrame({k: np.arange(3).astype(k) for k in ("i4", "u1", "f8", "?")})
    numbers.columns = numbers.columns.astype(object)
    for table in (TABLE, numbers):
        found = pickles.unpickle_table(pickled(table), "t.pkl")
        pd.testing.assert_frame_equal(found, table)
        assert all(type(block.values) is np.ndarray for block in found._mgr.blocks)


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_the_fifth_protocol_comes_back(order: str) -> None:
    expected = np.arange(6, dtype=">i4").reshape(2, 3).copy(order)
    for array in (expected, expected.view()):
        array.flags.writeable = array is expected  # a byte array, and bytes
        content = pickle.dumps(array, protocol=5)
        found = pickles._Unpickler(io.BytesIO(content)).load()
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x80\x03Nr\xff\xff\xff\xff.",  # the 4,294,967,295th thing to be remembered
        b"\x80\x03p99999999999\n.",
        b"\x80\x04\x8e\xff\xff\xff\xff\x07\0\0\0a.",  # bytes, but for one all missing
        b"\x80\x04\x95\xff\xff\xff\xff\x07\0\0\0N.",
        b"\x80\x05\x96\xff\xff\xff\xff\x07\0\0\0a.",
    ],
)
def test_no_number_in_a_pickle_takes_memory(bomb: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            pickles.unpickle_table(bomb, "t.pkl")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", [b"\x00", b"\x02", b"\x04", b"\xff"])
def test_a_shape_that_its_content_does_not_fill_is_refused(length: bytes) -> None:
    shape = b"K\x01K\x03\x86"  # 1 × 3: once of the numbers, once of the texts
    assert SOUND.count(shape) == 2
    first = SOUND.index(shape)
    for place in (first, SOUND.index(shape, first + 1)):
        spoilt = SOUND[: place + 3] + length + SOUND[place + 4 :]
        with pytest.raises(InputError, match="no pickle that can be read"):
            pickles.unpickle_table(spoilt, "t.pkl")


@pytest.mark.parametrize(
    "call",
    [
        Call(np.ndarray, ((1,), "O", b"A" * 8)),  # an object at an address of theirs
        Call(np.ndarray, ((1,), "i8", b"A" * 8), (1, (9,), "i8", False, b"A")),
        Call(np.dtype, ("V8",)),
        Call(np.dtype, ("O8",), (3, "|", None, ("a",), {"a": (np.dtype("O"), 99)}, 8, 8, 27)),
        Call(np.dtype, ("i8",), (3, "<", None, None, None, 2**40, 1, 0)),
    ],
)
def test_calls_that_choose_memory_are_refused(call: Call) -> None:
    table = pd.DataFrame({"a": pd.Series([call], dtype=object)})
    with pytest.raises(InputError):
        pickles.unpickle_table(pickled(table), "t.pkl")
