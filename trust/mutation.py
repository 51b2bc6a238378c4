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

from lib.errors import InputError
from trust.figures import ROOT, WORK, Figure

# of each module the fast tests that speak of it
TESTS = {
    "claims": ["tests/test_claims.py", "tests/test_trust_metrics.py"],
    "metrics": ["tests/test_metrics.py", "tests/test_trust_metrics.py"],
    "diagnostics": ["tests/test_diagnostics.py"],
    "fusion": ["tests/test_fusion.py"],
    "probes": ["tests/test_probes.py", "tests/test_probing.py"],
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
    """Yield a line per module: mutants, and those that a test sees."""
    if unknown := set(options.only) - set(TESTS):
        raise InputError(
            f"no module {', '.join(sorted(unknown))} is mutated: give some of {', '.join(TESTS)}"
        )
    for module in options.only or TESTS:
        codes = mutated(module)
        alive = sorted(name for name, code in codes.items() if code in (SURVIVED, *UNTESTED))
        share = 1 - len(alive) / len(codes)
        yield Figure(f"mutants of lib/{module}.py", len(codes), len(codes) - len(alive),
                     f"{share:.0%} seen by a test")  # fmt: skip


def mutated(module: str) -> dict[str, int]:
    """Return the exit code of the tests for each mutant of a module, running what is missing.

    Raises
    ------
    InputError
        There is no mutmut, or it could not run.
    """
    command = shutil.which("mutmut")
    if command is None:
        raise InputError("there is no mutmut here: pip install mutmut==3.8.1, and run again")
    folder = prepared(module)
    ran = subprocess.run(
        [command, "run", "--max-children", "1"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "plugin"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    (folder / "run.log").write_text(ran.stdout + ran.stderr, encoding="utf-8")
    return outcomes(folder, module)


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
        }.items()
    )


def outcomes(folder: Path, module: str) -> dict[str, int]:
    """Read what mutmut noted of each mutant.

    Raises
    ------
    InputError
        It noted nothing, because the tests do not pass as they are, or stopped half-way.
    """
    path = folder / "mutants" / "lib" / f"{module}.py.meta"
    codes = json.loads(path.read_text())["exit_code_by_key"] if path.is_file() else {}
    if not codes or None in codes.values():
        raise InputError(
            f"mutmut did not come to the end of lib/{module}.py: read {folder / 'run.log'}, and "
            "run again, which goes on"
        )
    return codes
