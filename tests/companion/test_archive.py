"""The archive of a tiny published book, opened by the readers of each format it is written in."""

import hashlib
import json
import shutil
import subprocess
import time
import tomllib
import warnings
import zipfile
from pathlib import Path

import mlcroissant
import nbformat
import pandas as pd
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from rocrate.rocrate import ROCrate

import lib
from companion import archive, data, scoreboard, site
from companion.__main__ import main
from lib import claims
from lib.core import InputError

FILES = {file.path: file for file in data.DATASETS["ml-100k"].files}
SHA = {path: file.sha256 for path, file in FILES.items()}
OWN = {"interactions.csv": "a" * 64, "items & more.csv": "b" * 64}


def notebook(path: Path, dataset: str, outputs: list[dict[str, object]]) -> None:
    cells = [
        new_markdown_cell(f"# A chapter · {dataset}"),
        new_code_cell(f"dataset = {dataset!r}\nk = 20", metadata={"tags": ["parameters"]}),
        new_code_cell("1", outputs=[new_output("display_data", one) for one in outputs]),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)


def card(hashes: dict[str, str]) -> dict[str, object]:
    lines = "<br>".join(f"{path.replace('&', '&amp;')}: {sha}" for path, sha in hashes.items())
    return {"text/html": f"<table><tr><th>sha256</th><td>{lines}</td></tr></table>"}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A clone with a chapter on a known dataset, one on a reader's own, and two of findings."""
    root = tmp_path / "book"
    root.mkdir()
    for name in (*archive.COPIED, "_config.yml", "pyproject.toml"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(site.ROOT / name, root / name)
    notebook(root / "executed/ml-100k-k-50/01-data.ipynb", "ml-100k", [card(SHA)])
    notebook(root / "executed/my-films/01-data.ipynb", "data/my films", [card(OWN)])
    claim = claims.load()["F2"]
    record = {"claim": "F2", "chapter": claim.chapter, "verdict": claims.FAILS, "reason": "so"}
    record["measures"] = dict.fromkeys(claim.measures, [0.9, 0.8, 1.0, 60])
    shown = [{scoreboard.RECORD: record}]
    notebook(root / "executed/my-films/03-agreement.ipynb", "data/my films", shown)
    git = ["git", "-C", str(root), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "all"], check=True)
    return root


@pytest.fixture
def kept(book: Path, tmp_path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(archive.write(tmp_path / "archive.zip", book))


def read(kept: zipfile.ZipFile, name: str) -> pd.DataFrame:
    with kept.open(name) as file:
        return pd.read_csv(file, keep_default_na=False)


def test_rocrate_opens_it_and_every_file_is_the_one_described(kept: zipfile.ZipFile) -> None:
    with warnings.catch_warnings(action="error"):
        crate = ROCrate(kept.filename)
    described = {entity.id: entity for entity in crate.data_entities}
    assert {*described, archive.METADATA} == set(kept.namelist())
    assert {"claims.yml", "costs.csv", "LICENSE", "CITATION.cff", "workflow.yml"} <= set(described)
    assert {"requirements.lock", "executed/my-films/03-agreement.ipynb"} <= set(described)
    for name, entity in described.items():
        content = kept.read(name)
        assert entity["sha256"] == hashlib.sha256(content).hexdigest()
        assert entity["contentSize"] == str(len(content))
        assert Path(crate.source, name).read_bytes() == content
    assert [author["name"] for author in crate.creator] == [
        author["name"] for author in yaml.safe_load(kept.read("CITATION.cff"))["authors"]
    ]


def test_what_is_published_is_in_it_byte_by_byte(book: Path, kept: zipfile.ZipFile) -> None:
    for path in book.rglob("executed/*/*.ipynb"):
        assert kept.read(path.relative_to(book).as_posix()) == path.read_bytes()


def test_croissant_of_each_known_dataset_is_valid(kept: zipfile.ZipFile) -> None:
    (name,) = [name for name in kept.namelist() if name.startswith("croissant/")]
    assert name == "croissant/ml-100k.json"
    metadata = mlcroissant.Dataset(jsonld=json.loads(kept.read(name))).metadata
    assert not metadata.ctx.issues.errors
    assert {file.id: file.sha256 for file in metadata.distribution} == SHA
    assert [file.content_url for file in metadata.distribution] == [f.url for f in FILES.values()]
    assert metadata.url == "https://pypi.org/project/recbole/1.2.1/"
    assert metadata.cite_as.startswith("@article{harper2015movielens,")


def test_every_input_has_its_hash(kept: zipfile.ZipFile) -> None:
    inputs = read(kept, "inputs.csv")
    assert list(inputs["part"]) == ["ml-100k-k-50"] * 2 + ["my-films"] * 2
    assert dict(zip(inputs["file"], inputs["sha256"], strict=True)) == SHA | OWN
    assert list(inputs["url"]) == [file.url for file in FILES.values()] + ["", ""]


def test_records_are_one_table_of_every_measure(kept: zipfile.ZipFile) -> None:
    records = read(kept, "records.csv")
    measures = claims.load()["F2"].measures
    assert dict(zip(records["measure"], records["words"], strict=True)) == measures
    assert set(records["page"]) == {"my-films/03-agreement"}
    assert set(records["verdict"]) == {claims.FAILS}
    numbers = records[["mean", "low", "high", "n"]].drop_duplicates()
    assert numbers.to_numpy().tolist() == [[0.9, 0.8, 1.0, 60]]


def test_codemeta_says_what_the_citation_and_the_project_say(kept: zipfile.ZipFile) -> None:
    about = json.loads(kept.read("codemeta.json"))
    cited = yaml.safe_load(kept.read("CITATION.cff"))
    project = tomllib.loads((site.ROOT / "pyproject.toml").read_text())["project"]
    assert about["@context"] == "https://w3id.org/codemeta/3.0"
    assert about["@type"] == "SoftwareSourceCode"
    assert about["name"] == cited["title"] and about["description"] == cited["abstract"].strip()
    assert about["version"] == cited["version"] == lib.__version__
    assert about["license"].endswith(f"/{cited['license']}") and project["license"] == "MIT"
    assert about["softwareRequirements"] == project["dependencies"]
    assert about["runtimePlatform"] == f"Python {project['requires-python']}"
    paper = about["referencePublication"]["author"]
    assert paper[0] == {"@type": "Person", "name": "Maolin Wang"} and len(paper) == 10


def test_it_names_the_commit_and_whether_files_differ_from_it(book: Path, tmp_path: Path) -> None:
    head = site.git("rev-parse", "HEAD", root=book)
    assert len(head) == 40 and archive.codemeta(book)["identifier"] == head
    (book / "claims.yml").write_text("[]\n")
    assert archive.codemeta(book)["identifier"] == f"{head}-dirty"


def test_the_same_book_gives_the_same_bytes(book: Path, kept: zipfile.ZipFile) -> None:
    first = Path(kept.filename)
    time.sleep(1.1)  # a second later, which is as exactly as times are written
    for path in book.rglob("*.ipynb"):
        path.touch()
    again = archive.write(first.with_name("again.zip"), book)
    assert again.read_bytes() == first.read_bytes()
    assert archive.write(first, book).read_bytes() == again.read_bytes()  # replaces an archive


@pytest.mark.parametrize("content", [b"", b"my thesis", b"PK\x05\x06" + bytes(18)])
def test_another_file_is_not_overwritten(book: Path, tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "thesis.zip"
    out.write_bytes(content)
    with pytest.raises(InputError, match=r"thesis\.zip exists and is no archive: move it, or"):
        archive.write(out, book)
    assert out.read_bytes() == content and not list(tmp_path.glob("*.part"))


def test_nothing_published_and_no_clone_are_one_sentence(book: Path, tmp_path: Path) -> None:
    out = tmp_path / "archive.zip"
    shutil.rmtree(book / ".git")
    with pytest.raises(InputError, match="is no clone, and an archive names its commit"):
        archive.write(out, book)
    shutil.rmtree(book / "executed")
    with pytest.raises(InputError, match="nothing is published in .*executed: make publish first"):
        archive.write(out, book)
    assert not out.exists()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys) -> None:
    assert main(["archive", "--out", str(tmp_path)]) == 2
    assert "it is a folder" in capsys.readouterr().err
