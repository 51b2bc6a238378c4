"""Mutants of the modules that results rest on: small faults put in by mutmut, which tests must see.

Each module is mutated in a copy of the project under ``_build/trust/mutation``, where mutmut keeps
what it has done: an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from scipy.stats import binomtest

from lib.core import InputError, generator
from trust.figures import ROOT, WORK, Figure

# of each module the fast tests that speak of it
TESTS = {
    "claims": ["tests/test_claims.py", "tests/test_trust_metrics.py"],
    "metrics": ["tests/test_metrics.py", "tests/test_trust_metrics.py"],
    "diagnostics": ["tests/test_diagnostics.py"],
    "fusion": ["tests/test_fusion.py"],
    "probes": ["tests/test_probes.py", "tests/test_probing.py"],
    "cuts": ["tests/test_cuts.py"],
    "largest": ["tests/test_largest.py"],
    "topk": ["tests/test_topk.py", "-k", "not triton_kernel"],
}
COPIED = ("lib", "tests", "trust", "claims.yml", "workflow.yml", "pyproject.toml", "README.md")
NO_SHRINKING = """\
from hypothesis import Phase, settings
phases = [Phase.explicit, Phase.generate]  # that a test fails is enough to know
settings.register_profile("mutants", phases=phases, database=None, derandomize=True, deadline=None)
settings.load_profile("mutants")
"""
# mutmut's exit codes of a mutant that no test sees; others are failures, crashes and endless loops
SURVIVED, UNTESTED = 0, (5, 33)


def figures(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield one line on the mutants of the module ``options.part``: those that a test sees."""
    module = options.part
    every, codes = mutated(module, options.mutants, options.seed)
    alive = sum(code in (SURVIVED, *UNTESTED) for code in codes.values())
    seen = binomtest(len(codes) - alive, len(codes))
    found = f"{seen.statistic:.0%} seen by a test"
    if len(codes) < every:
        low, high = seen.proportion_ci()
        found += f", of all {every} {low:.0%} to {high:.0%} (95 % interval)"
    yield Figure(f"mutants of lib/{module}.py", len(codes), seen.k, found)


def mutated(module: str, most: int | None, seed: int) -> tuple[int, dict[str, int]]:
    """Return how many mutants of a module there are, and the tests' exit code for those tried.

    All are tried, or ``most`` of them that are drawn at random; those that have been tried already
    are not tried again.

    Raises
    ------
    InputError
        There is no mutmut, or it could not run.
    """
    command = shutil.which("mutmut")
    if command is None:
        raise InputError("there is no mutmut here: pip install mutmut==3.8.1, and run again")
    folder = prepared(module)
    # mutmut makes all mutants before it finds that this is the name of none
    ran(command, folder, ["none"])
    codes = outcomes(folder, module)
    chosen = sorted(codes)
    if most is not None and most < len(codes):
        draw = generator(seed, f"mutants of {module}")
        chosen = sorted(draw.choice(chosen, most, replace=False).tolist())
    if missing := [name for name in chosen if codes[name] is None]:
        ran(command, folder, missing)
        codes = outcomes(folder, module)
    found = {name: code for name in chosen if (code := codes[name]) is not None}
    if not found or len(found) < len(chosen):
        raise InputError(
            f"mutmut did not come to the end of lib/{module}.py: read {folder / 'run.log'}, and "
            "run again, which goes on"
        )
    return len(codes), found


def ran(command: str, folder: Path, names: list[str]) -> None:
    """Let mutmut try the mutants of these names."""
    done = subprocess.run(
        [command, "run", "--max-children", "1", *names],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "plugin"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    (folder / "run.log").write_text(done.stdout + done.stderr, encoding="utf-8")


def prepared(module: str) -> Path:
    """Return a copy of the project, told to mutmut, in which one module is to be mutated."""
    folder = WORK / "mutation" / module
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            leave = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=leave)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(configuration(module))
    (folder / "plugin").mkdir(exist_ok=True)
    (folder / "plugin" / "no_shrinking.py").write_text(NO_SHRINKING, encoding="utf-8")
    return folder


def configuration(module: str) -> str:
    """Return the part of pyproject.toml that mutmut reads."""
    return "\n[tool.mutmut]\n" + "\n".join(
        f"{name} = {json.dumps(value)}"
        for name, value in {
            "source_paths": ["lib"],
            "only_mutate": [f"lib/{module}.py"],
            "also_copy": [name for name in COPIED if name not in ("lib", "tests")],
            "pytest_add_cli_args_test_selection": TESTS[module],
            "pytest_add_cli_args": ["-p", "no_shrinking", "-p", "no:cacheprovider"],
            # an endless loop is one after 8 times the processor time of the tests, not after 30
            "timeout_multiplier": 4.0,
        }.items()
    )


def outcomes(folder: Path, module: str) -> dict[str, int | None]:
    """Read what mutmut noted of each mutant, nothing where it was not tried."""
    path = folder / "mutants" / "lib" / f"{module}.py.meta"
    codes = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return codes.get("exit_code_by_key", {})
