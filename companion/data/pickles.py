"""An untrusted pickled table, read without running anything in it.

An allow-list of names is not enough: NumPy trusts the state of an array in a pickle, and reads or
writes outside its memory where the state is wrong. Our own classes check the state before that.
"""

import io
import math
import pickle
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lib.core import InputError

_PLAIN = re.compile("[biuf][1248]|O8?")  # the types that a table of numbers and texts needs


class _Type:
    """A plain NumPy type, without fields, dates or metadata."""

    def __init__(self, name: object, *_: object) -> None:
        if not (isinstance(name, str) and _PLAIN.fullmatch(name)):
            raise ValueError(f"no plain type: {name!r}")
        self.plain = np.dtype(name)

    def __setstate__(self, state: object) -> None:
        match state:
            case (3, "<" | ">" as order, None, None, None, -1, -1, 0):
                self.plain = self.plain.newbyteorder(order)
            case (3, "|", None, None, None, -1, -1, 0 | 63):
                pass
            case _:
                raise ValueError(f"no state of a plain type: {state!r}")


class _Array(np.ndarray):
    """An array that accepts its content only where it is as long as the shape says."""

    def __setstate__(self, state: Any) -> None:
        version, shape, kind, by_columns, content = state
        valid = isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)
        objects = kind.plain.hasobject
        if not valid or not isinstance(content, list if objects else bytes):
            raise ValueError("no state of an array")
        if len(content) != math.prod(shape) * (1 if objects else kind.plain.itemsize):
            raise ValueError(f"{len(content)} in an array of shape {shape}")
        state = (version, shape, kind.plain, bool(by_columns), content)
        super().__setstate__(state)  # type: ignore[arg-type]  # a plain bool is what NumPy writes


def _frombuffer(content: Any, kind: _Type, shape: Any, order: Any) -> np.ndarray:
    return np.frombuffer(content, kind.plain).reshape(shape, order=order).view(_Array)


def _block(values: Any, *place: Any) -> Any:
    from pandas._libs.internals import _unpickle_block  # private: may go with a later pandas

    return _unpickle_block(np.asarray(values), *place)


_REPLACED: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _Type,
    "numpy.ndarray": object,  # only a name in what NumPy writes: a call could give any memory
    "numpy._core.multiarray._reconstruct": lambda *_: _Array((0,), np.int8),
    "numpy._core.numeric._frombuffer": _frombuffer,
    "pandas._libs.internals._unpickle_block": _block,
}
_ALLOWED = (
    ("builtins", "slice"),
    ("pandas.core.frame", "DataFrame"),
    ("pandas.core.indexes.base", "Index"),
    ("pandas.core.indexes.base", "_new_Index"),
    ("pandas.core.indexes.range", "RangeIndex"),
    ("pandas.core.internals.managers", "BlockManager"),
)


class _Unpickler(pickle._Unpickler):
    """The unpickler in Python: C's allocates as much as a number in the pickle says."""

    read: Callable[[int], bytes]
    append: Callable[[object], None]

    def load_byte_array(self) -> None:
        """Make a byte array of what is there: the inherited method allocates it first."""
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))

    dispatch = pickle._Unpickler.dispatch | {pickle.BYTEARRAY8[0]: load_byte_array}  # type: ignore

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        if (asked := f"{module}.{name}") in _REPLACED:
            return _REPLACED[asked]
        raise InputError(
            f"a pickle asks for {asked!r}, which no table needs: it may run code and is not "
            "read; get the file from its publisher"
        )


def unpickle_table(data: bytes, name: str) -> pd.DataFrame:
    """Return the pandas table in an untrusted pickle, or raise ``InputError``."""
    try:
        found = _Unpickler(io.BytesIO(data)).load()
    except InputError:
        raise
    except Exception as fault:  # a damaged pickle can fail in any way
        raise InputError(
            f"{name} is no pickle that can be read ({type(fault).__name__}): get the file again"
        ) from None
    if not isinstance(found, pd.DataFrame):
        raise InputError(f"{name} holds a {type(found).__name__}, not a pandas table")
    return found
