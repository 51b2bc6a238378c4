"""RecBole's own LightGCN, driven line by line from another process and another environment.

Run by ``bench.training`` with the interpreter of an environment that has RecBole and none of this
project. A line on standard input is a command: ``epoch`` trains one and answers its seconds,
``validate`` answers the validation Recall@20, ``vectors PATH`` saves what ranks.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch


def main(folder: str, threads: str, settings: str) -> None:
    torch.set_num_threads(int(threads))
    trainer, train, valid, dataset = _prepared(Path(folder), json.loads(settings))
    _say("ready")
    for epoch, line in enumerate(sys.stdin):
        command, _, path = line.strip().partition(" ")
        if command == "epoch":
            trainer.model.train()
            start = time.perf_counter()
            trainer._train_epoch(train, epoch)
            _say(time.perf_counter() - start)
        elif command == "validate":
            start = time.perf_counter()
            found = trainer.evaluate(valid, load_best_model=False)
            _say([float(found["recall@20"]), time.perf_counter() - start])
        else:
            _save(trainer.model, dataset, Path(path))
            _say("saved")


def _prepared(folder: Path, settings: dict):
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.model.general_recommender.lightgcn import LightGCN
    from recbole.trainer import Trainer
    from recbole.utils import init_seed

    sys.argv = sys.argv[:1]  # RecBole reads the command line
    given = {
        "data_path": str(folder.parent), "checkpoint_dir": str(folder), "state": "ERROR",
        "benchmark_filename": ["train", "valid", "test"], "show_progress": False,
        "load_col": {"inter": ["user_id", "item_id"]}, "use_gpu": False, "gpu_id": "",
        "metrics": ["Recall"], "topk": [20], "valid_metric": "Recall@20",
        "eval_batch_size": 1 << 22, "seed": 0,
        "eval_args": {"order": "RO", "group_by": "user", "mode": "full"},
    }  # fmt: skip
    config = Config(model="LightGCN", dataset=folder.name, config_dict=given | settings)
    init_seed(0, True)
    dataset = create_dataset(config)
    train, valid, _ = data_preparation(config, dataset)
    return Trainer(config, LightGCN(config, train.dataset)), train, valid, dataset


def _save(model, dataset, path: Path) -> None:
    """Save vectors in the order of the original ids: RecBole numbers from 1 in its own order."""
    with torch.no_grad():
        sides = model.forward()
    for name, side in zip(("user_id", "item_id"), sides, strict=True):
        tokens = dataset.field2id_token[name][1:].astype(int)
        vectors = np.zeros((tokens.max() + 1, side.shape[1]), np.float32)
        vectors[tokens] = side[1:].numpy()
        np.save(path / f"{name}.npy", vectors)


def _say(answer) -> None:
    print(json.dumps(answer), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
