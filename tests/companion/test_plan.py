"""Fits are shared by warm processes without loss, and what a book takes is said beforehand."""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import make_template
import numpy as np
import pytest

from companion import data, plan
from companion.__main__ import main
from lib import views
from lib.core import InputError
from lib.dataset import Dataset
from lib.views import View

FITS = [f"svd@seed={seed},dimension={d}" for seed in (0, 1) for d in (3, 4)]
Fake = Callable[[Callable[[int], None]], list[tuple[int, int]]]


@pytest.fixture(autouse=True)
def _elsewhere(cache_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def trained(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Let a fit run only a function of its number, once, and return which were made."""

    def fake(run: Callable[[int], None]) -> list[tuple[int, int]]:
        made: list[tuple[int, int]] = []
        view = views.fit(small, "popularity")

        def fit(_: Dataset, model: str, *, seed: int, dimension: int) -> View:
            if (seed, dimension) not in made:
                run(len(made))
                made.append((seed, dimension))
                return View(view.users, view.items, {"seconds": 0.0})
            return View(view.users, view.items, {"seconds": 9e9})

        monkeypatch.setattr(views, "fit", fit)
        return made

    return fake


def test_two_workers_train_at_once_and_each_fit_once(small: Dataset, trained: Fake) -> None:
    both = Barrier(2, timeout=60)  # passed only by two fits in two workers
    made = trained(lambda _: both.wait() and None)
    threads = [Thread(target=plan.fit_shared, args=(small, FITS, {})) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [(0, 3), (0, 4), (1, 3), (1, 4)]


def test_fits_that_fail_are_named_and_stop_no_other(
    small: Dataset, trained: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts: list[int] = []

    def fail_in_all_but_the_third(made: int) -> None:
        attempts.append(made)
        if len(attempts) in (1, 4):
            raise InputError("give less")
        if len(attempts) == 2:
            raise MemoryError("none left\nhere")

    made = trained(fail_in_all_but_the_third)
    with pytest.raises(InputError) as fault:
        plan.fit_shared(small, FITS, {})
    assert str(fault.value).splitlines() == [
        "svd@seed=0,dimension=3, svd@seed=1,dimension=4 on synthetic: give less",
        "svd@seed=0,dimension=4 on synthetic: MemoryError: none left",
    ]
    assert made == [(1, 3)] and "fail_in_all_but_the_third" in capsys.readouterr().err
    plan.fit_shared(small, FITS, {})
    assert sorted(made) == [(0, 3), (0, 4), (1, 3), (1, 4)]


def test_what_a_killed_worker_held_is_made_by_another(small: Dataset, trained: Fake) -> None:
    here = os.getpid()
    made = trained(lambda _: None if os.getpid() == here else os.kill(os.getpid(), signal.SIGKILL))
    killed = multiprocessing.get_context("fork").Process(
        target=plan.fit_shared, args=(small, FITS, {})
    )
    killed.start()
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    plan.fit_shared(small, FITS, {})
    assert sorted(made) == [(0, 3), (0, 4), (1, 3), (1, 4)]


def test_a_warm_worker_gives_what_single_fits_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = [f"lightgcn@seed={seed},epochs=2" for seed in (0, 1)]
    assert main(["fits", "synthetic", *fits, "-p", "device", "cpu"]) == 0

    def vectors() -> list[np.ndarray]:
        from companion import data

        dataset = data.load("synthetic")
        found = [views.fit(dataset, "lightgcn", seed=s, epochs=2, device="cpu") for s in (1, 0)]
        return [side.numpy() for view in found for side in (view.users, view.items)]

    warm = vectors()
    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path / "another"))
    assert all(map(np.array_equal, warm, vectors()))


@pytest.mark.parametrize("words", [["fits", "synthetic", "linear@seed=0"],
                                   ["fit", "synthetic", "linear"]])  # fmt: skip
def test_an_encoder_and_a_device_are_names_also_where_they_read_as_numbers(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def fit(dataset: Dataset, model: str, **settings: Any) -> View:
        given.update(settings)
        raise InputError("enough")

    monkeypatch.setattr(views, "fit", fit)
    more = ["-p", "encoder", "1e3", "-p", "device", "2024", "-p", "epochs", "1e1"]
    assert main([*words, *more]) == 2
    assert given == {"seed": 0, "encoder": "1e3", "device": "2024", "epochs": 10}


@pytest.mark.parametrize("fault", [RuntimeError("CUDA out of memory. Tried to"), MemoryError()])
def test_a_memory_that_is_too_small_is_one_sentence(
    fault: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fit(*_: Any, **__: Any) -> View:
        raise fault

    monkeypatch.setattr(views, "fit", fit)
    assert main(["fit", "synthetic", "linear"]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("the memory is too small (") and "\n" not in said
    fault = RuntimeError("another fault")
    with pytest.raises(RuntimeError, match="another"):
        main(["fit", "synthetic", "linear"])


def planned(name: str, **jobs: list[str]) -> str:
    of: Mapping[str, Any] = {"dataset": name, "fits": FITS, "chapters": ["01-data"]} | jobs
    line = plan.report({"part": of}, workers=2).splitlines()[1]
    return " ".join(line.split())


def test_a_plan_takes_published_costs_by_the_speed_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for factor, minutes in {1: 53, 2: 106}.items():  # (4 × 1,250 + 1,330) s by two
        monkeypatch.setattr(plan, "calibrate", lambda factor=factor: 0.5 * factor)
        Path("costs.csv").write_text(
            "dataset,fit_s,chapter_s,MiB,calibration_s\nml-1m,1250,1330,2048,0.5\n"
        )
        monkeypatch.setattr(data.DATASETS["ml-1m"], "size", (1048576, 0, 9))
        monkeypatch.setattr(plan, "PUBLISHED", Path("costs.csv"))
        said = planned("ml-1m")
        assert said == f"part 4 1 {minutes} 2.0 2.0 as published"


def test_a_plan_says_what_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "calibrate", lambda: 0.5)
    told = "unknown, for it was neither measured nor fetched"
    assert planned("movies") == f"part 4 1 unknown unknown unknown {told}"
    assert planned("steam").endswith("by interactions")  # its size is stated


def test_a_plan_scales_the_costs_of_the_set_nearest_in_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(make_template.FOLDER, tmp_path / "shop")
    monkeypatch.setattr(plan, "calibrate", lambda: 0.031)
    assert planned("shop").endswith("as ml-100k by interactions")
