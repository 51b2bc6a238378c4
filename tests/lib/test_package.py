"""The package offers its names at their first use, and importing it loads next to nothing."""

import importlib
import pkgutil
import subprocess
import sys
import time

import pytest

import lib

HEAVY = {"torch", "pandas", "scipy", "sklearn", "matplotlib", "IPython", "yaml", "requests"}


def loaded_by(statement: str) -> set[str]:
    """Return which heavy packages a fresh interpreter has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*{HEAVY!r} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(told.stdout.split())


def test_the_package_alone_loads_nothing_heavy_and_at_once() -> None:
    def seconds(statement: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        return time.perf_counter() - started

    assert loaded_by("import lib") == set()
    cost = min(seconds("import lib") for _ in range(3)) - min(seconds("pass") for _ in range(3))
    assert cost < 0.3


def test_top_k_needs_numpy_scipy_and_torch_alone() -> None:
    absent = 'sys.modules.update({"tqdm": None, "threadpoolctl": None})'  # as if not installed
    assert loaded_by(f"{absent}\nimport lib.topk") == {"scipy", "torch"}


def test_the_error_for_people_loads_nothing_heavy() -> None:
    assert loaded_by("from lib import InputError") == set()


@pytest.mark.parametrize("name", lib.__all__)
def test_every_name_is_there_and_hides_no_module(name: str) -> None:
    found = getattr(lib, name)
    assert found.__name__ == name and found.__module__.startswith("lib.")
    assert name in dir(lib)
    assert name not in {module.name for module in pkgutil.iter_modules(lib.__path__)}


def test_the_names_are_those_that_type_checkers_see() -> None:
    assert sorted(lib._MODULE) == sorted(lib.__all__)
    assert importlib.import_module("lib.topk") is sys.modules["lib.topk"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lib.nothing  # noqa: B018
