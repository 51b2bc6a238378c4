"""Pickles as untrusted files hold them: one that would run a command, and tables."""

import os
import pickle
from pathlib import Path


class Attack:
    """A pickle that would run a command when it is read."""

    def __init__(self, mark: Path | str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.mark}",)


def pickled(value: object) -> bytes:
    """Return a pickle with the names that pandas 2 wrote, as the published files have them."""
    content = pickle.dumps(value, protocol=3)
    for name, module in {b"DataFrame": b"frame", b"Index": b"indexes.base",
                         b"RangeIndex": b"indexes.range"}.items():  # fmt: skip
        content = content.replace(b"cpandas\n" + name, b"cpandas.core." + module + b"\n" + name)
    return content
