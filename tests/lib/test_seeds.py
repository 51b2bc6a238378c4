"""No draw in ``lib`` comes from a global state: every one has a generator, from one function."""

import ast
from pathlib import Path

import pytest

import lib

ROOT = Path(lib.__file__).parents[1]
FILES = sorted((ROOT / "lib").rglob("*.py"))
# of torch: what draws, and so must be given a generator
DRAWS = {"rand", "randn", "randint", "randperm", "normal", "multinomial", "bernoulli", "uniform_",
         "normal_", "random_"}  # fmt: skip
# of NumPy's random module: types, which hold no state of their own
TYPES = {"Generator", "SeedSequence"}


def faults(code: str, *, seeds: bool = False) -> list[str]:
    """Return what draws from a global state; ``seeds`` is the one module that makes generators."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import) and any(name.name == "random" for name in node.names):
            found.append("import random")
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            part = name.removeprefix("np.random.")
            made = seeds and part == "default_rng"
            if part != name and part not in TYPES and not made:
                found.append(name)
            if name in ("torch.manual_seed", "torch.seed", "F.dropout", "torch.default_generator"):
                found.append(name)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            torch_draw = ast.unparse(node.func).startswith("torch.") or node.func.attr[-1] == "_"
            given = {keyword.arg for keyword in node.keywords}
            if torch_draw and node.func.attr in DRAWS and "generator" not in given:
                found.append(ast.unparse(node.func))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_draws_from_no_global_state(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8"), seeds=path.name == "core.py") == []


@pytest.mark.parametrize(
    "code",
    ["import random", "np.random.rand(3)", "np.random.seed(0)", "torch.randn(3)", "x.normal_()",
     "torch.manual_seed(0)", "F.dropout(x)", "np.random.default_rng(0)"],
)  # fmt: skip
def test_a_global_draw_is_seen(code: str) -> None:
    assert faults(code)
