"""Nobody is asked for anything: no telemetry, and nothing is fetched when offline is set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from companion.site import ROOT

# in every Python process that is begun: names that are looked up, and addresses that are not ours
HOOK = """
import os, sys

def listen(event, args):
    asked = {"socket.getaddrinfo": args[:1], "socket.connect": args[1:]}.get(event)
    if asked and not str(asked[0]).startswith(("localhost", "127.", "('127.", "('::1", "/", "b'")):
        with open(os.environ["ASKED"], "a") as file:
            print(*asked, file=file)

sys.addaudithook(listen)
"""
ENCODE = """
from lib.encoders import text
from lib.core import InputError
from dataclasses import replace
from companion.data import synthetic
SMALL = replace(synthetic.world(n_users=30, n_items=20, seed=3).dataset, vectors=None)

for encoder in {encoders}:
    try:
        print(tuple(text.encode(SMALL, encoder).shape))
    except InputError as fault:
        print(fault)
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Give a function that runs a command and returns its words and whom it asked."""
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COMPANION_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def run(*command: str) -> tuple[str, list[str]]:
        ran = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        names = tmp_path / "asked"
        return ran.stdout, names.read_text().splitlines() if names.is_file() else []

    return run


def test_the_ear_hears(asked):
    script = "import socket\ntry: socket.getaddrinfo('no.invalid', 443)\nexcept OSError: pass"
    assert asked("-c", script) == ("", ["no.invalid"])


def test_the_bundled_encoder_asks_nobody(asked):
    words, names = asked("-c", ENCODE.format(encoders=["minilm", "tfidf"]))
    assert "(20, 384)" in words and names == []


def test_offline_a_models_name_asks_nobody(asked, monkeypatch):
    monkeypatch.setenv("COMPANION_OFFLINE", "1")
    words, names = asked("-c", ENCODE.format(encoders=["BAAI/bge-m3", "some-model"]))
    assert words.count("cannot be loaded") == 2 and names == []


def test_a_chapter_and_its_kernel_ask_nobody(asked, tmp_path: Path):
    chapter, out = ROOT / "chapters" / "01-data.ipynb", tmp_path / "01-data.ipynb"
    _, names = asked("-m", "companion", "execute", str(chapter), "ml-100k", "--out", str(out))
    assert out.is_file() and names == []
