"""LightGCN beside RecBole's own, an epoch at equal batch and the way to RecBole's best score.

RecBole gets an environment of its own under ``_build``, made on first use; where that fails the
rows are left out with a word why.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from bench.measure import Machine, Row, floor
from companion.data import load
from lib.core import InputError, torch_generator
from lib.dataset import Dataset
from lib.encoders import lightgcn
from lib.encoders.training import Recipe, train
from lib.metrics import recall
from lib.views import View, lists

CPU = torch.device("cpu")
HOME = Path("_build/recbole")
# the newest that RecBole 1.2.1 runs with: NumPy before 2, SciPy before dok_matrix lost _update
PINS = (
    "torch==2.13.0", "numpy==1.26.4", "scipy==1.10.1", "pandas==2.2.3", "scikit-learn==1.5.2",
    "tqdm==4.70.1", "colorlog==4.7.2", "colorama==0.4.4", "PyYAML==6.0.4", "tensorboard==2.21.0",
    "thop==0.1.1.post2209072238", "tabulate==0.10.0", "plotly==7.1.0", "texttable==1.7.2",
    "psutil==7.2.2",
)  # fmt: skip
# what both are given: RecBole's own defaults but for the batch, which its LightGCN leaves open
BATCH, WIDTH, LAYERS, RATE = 2048, 64, 2, 1e-3
PATIENCE = 10  # validations without a new best, RecBole's stopping_step
EPOCHS = {"ml-100k": 7, "games-2018": 1}  # timed ones a side; an epoch of the second takes minutes


def rows(machine: Machine, repeats: int) -> list[Row]:
    """Time epochs at equal batch on both datasets, then both ways to RecBole's best score."""
    python = _environment()
    if python is None:
        return []
    table = []
    for name, turns in EPOCHS.items():
        try:
            dataset = load(name)
        except InputError as fault:
            print(f"LightGCN on {name} is left out: {fault}", file=sys.stderr)
            continue
        with Peer(python, dataset, machine.threads) as peer:
            table.append(_epoch(machine, dataset, peer, min(repeats, turns)))
            if name == "ml-100k":
                table += _to_the_best(dataset, peer)
    return table


def _epoch(machine: Machine, dataset: Dataset, peer: Peer, turns: int) -> Row:
    """Take turns: one epoch of theirs, one of ours, at equal loss, batch, width and layers."""
    recipe = Recipe(
        loss="bpr", temperature=1.0, batch=BATCH, dimension=WIDTH, layers=LAYERS, learning_rate=RATE
    )
    net = _net(dataset, recipe)
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for turn in range(turns + (turns > 1)):
        # ours has its validation in it: the training loop always selects
        _, _, info = train(net, dataset, replace(recipe, epochs=1), seed=turn, device=CPU)
        seconds = {"ours": info["seconds"], "peer": peer.ask("epoch")}
        if turn or turns == 1:  # the first of several warms up
            for who, taken in seconds.items():
                times[who].append(taken)
    size = f"{dataset.name}, batch {BATCH:,}, {WIDTH} dimensions, {LAYERS} layers"
    mine, theirs = (statistics.median(times[who]) for who in ("ours", "peer"))
    return Row("LightGCN, an epoch", size, mine, "RecBole 1.2.1", theirs, _floor(machine, dataset))


def _floor(machine: Machine, dataset: Dataset) -> float:
    """Return the least seconds of an epoch: propagation there and back, and the optimiser.

    A step multiplies the graph 2 · layers times forward and as often back, each edge in both
    directions; Adam reads four and writes three arrays of the parameters.
    """
    steps = -(-dataset.train.nnz // BATCH)
    operations = steps * 2 * LAYERS * 2 * 2 * dataset.train.nnz * WIDTH
    parameters = 4 * WIDTH * (dataset.n_users + dataset.n_items)
    moved = steps * (7 * parameters + 2 * LAYERS * 2 * parameters)
    return floor(machine, operations, moved)


def _to_the_best(dataset: Dataset, peer: Peer) -> list[Row]:
    """Time RecBole to its best validation score, and our default recipe until it is as good."""
    clock, best, since, at_best = 0.0, 0.0, 0, 0.0
    folder = peer.folder / "best"
    folder.mkdir(exist_ok=True)
    while since < PATIENCE:
        clock += peer.ask("epoch")
        score, seconds = peer.ask("validate")
        clock += seconds
        since += 1
        if score > best:
            best, since, at_best = score, 0, clock
            peer.ask(f"vectors {folder}")
    users, items, info = train(_net(dataset, Recipe()), dataset, Recipe(), seed=0, device=CPU)
    good = [n for n, score in enumerate(info["history"], 1) if score >= best]
    reached = info["seconds"] * good[0] / len(info["history"]) if good else float("nan")
    vectors = (torch.from_numpy(np.load(folder / f"{side}_id.npy")) for side in ("user", "item"))
    found = [lists(view, dataset, 20) for view in (View(users, items, {}), View(*vectors, {}))]
    test = [np.nanmean(recall(one, dataset.test)) for one in found]
    return [
        Row("LightGCN to RecBole's best Recall@20", f"{dataset.name}, validation {best:.3f}",
            reached, "RecBole 1.2.1", at_best),
        Row("LightGCN, 1 − test Recall@20", dataset.name, 1 - float(test[0]), "RecBole 1.2.1",
            1 - float(test[1]), None, ""),
    ]  # fmt: skip


def _net(dataset: Dataset, recipe: Recipe) -> lightgcn.LightGCN:
    return lightgcn.LightGCN(dataset, recipe, torch_generator(0, "initial weights"), CPU)


class Peer:
    """RecBole's LightGCN in a process of its own, given the same three parts of the data."""

    def __init__(self, python: Path, dataset: Dataset, threads: int) -> None:
        self.folder = (HOME / f"split-{dataset.name}").resolve()  # it knows "ml-100k" itself
        self.folder.mkdir(parents=True, exist_ok=True)
        for part in ("train", "valid", "test"):
            pairs = getattr(dataset, part).tocoo()
            table = pd.DataFrame({"user_id:token": pairs.row, "item_id:token": pairs.col})
            table.to_csv(self.folder / f"{self.folder.name}.{part}.inter", sep="\t", index=False)
        settings = {
            "train_batch_size": BATCH, "embedding_size": WIDTH, "n_layers": LAYERS,
            "learning_rate": RATE,
        }  # fmt: skip
        script = Path(__file__).with_name("recbole_worker.py").resolve()
        self.process = subprocess.Popen(
            [python, script, str(self.folder), str(threads), json.dumps(settings)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            cwd=self.folder,  # it leaves logs where it stands
        )  # fmt: skip

    def __enter__(self) -> Peer:
        self._answer()
        return self

    def __exit__(self, *fault: object) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, command: str) -> Any:
        """Return what the process answers to a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit("RecBole's process ended early, so nothing was timed.")
        return json.loads(line)


def _environment() -> Path | None:
    """Return the interpreter that has RecBole, after installing it once; None where that fails."""
    python, ready = HOME / "venv/bin/python", HOME / "ready"
    if not ready.is_file():
        print("Installing RecBole 1.2.1 into an environment of its own, once", file=sys.stderr)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        steps = (
            [sys.executable, "-m", "venv", HOME / "venv"],
            [*pip, *PINS],
            [*pip, "--no-deps", "recbole==1.2.1"],
        )
        for step in steps:
            if subprocess.run(step, check=False).returncode:
                print("RecBole could not be installed: its rows are left out", file=sys.stderr)
                return None
        ready.touch()
    return python.absolute()
