"""One file that keeps what is published: an RO-Crate of the executed chapters and their grounds.

The data is not in it, as its licences forbid that or say nothing. Of each of its files
``inputs.csv`` has the SHA-256, and Croissant metadata the public address too.
"""

import ast
import hashlib
import json
import os
import re
import tomllib
import zipfile
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

import mlcroissant
import pandas as pd
import yaml
from rocrate.model import ContextEntity
from rocrate.rocrate import ROCrate

from companion import data, scoreboard, site
from companion.execute import values_of
from lib import claims
from lib.core import InputError

METADATA = "ro-crate-metadata.json"
COPIED = (
    "claims.yml", "workflow.yml", "CITATION.cff", "LICENSE", "references.bib", "requirements.lock",
    "requirements-nodeps.lock", "companion/costs.csv",
)  # fmt: skip
KINDS = {
    ".csv": "text/csv", ".gz": "application/gzip", ".ipynb": "application/x-ipynb+json",
    ".json": "application/json", ".yml": "application/yaml", ".zip": "application/zip",
}  # fmt: skip


def write(out: Path, root: Path = site.ROOT) -> Path:
    """Write the archive of what ``root`` publishes to ``out``: the same bytes for the same."""
    pages = dict(sorted(site.published(root).items()))
    if not pages:
        raise InputError(f"nothing is published in {root / site.EXECUTED}: make publish first")
    known = zipfile.is_zipfile(out) and METADATA in zipfile.ZipFile(out).namelist()
    if out.exists() and not known:
        raise InputError(f"{out} exists and is no archive: move it, or give another --out")
    about, inputs = codemeta(root), _inputs(pages)
    files = {path.as_posix(): source.read_bytes() for path, source in pages.items()}
    files |= {Path(name).name: (root / name).read_bytes() for name in COPIED}
    files["records.csv"] = _records(root).to_csv(index=False).encode()
    files["inputs.csv"] = inputs.to_csv(index=False).encode()
    files["codemeta.json"] = _json(about)
    for name, rows in inputs[inputs["url"] != ""].groupby("dataset"):
        files[f"croissant/{name}.json"] = _json(croissant(str(name), rows, root))
    files[METADATA] = _json(crate(files, about))
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    with zipfile.ZipFile(part, "w") as archive:
        for name in sorted(files):  # an entry without a date is of 1980, whenever it is written
            archive.writestr(zipfile.ZipInfo(name), files[name], zipfile.ZIP_DEFLATED)
    return part.replace(out)


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _records(root: Path) -> pd.DataFrame:
    """Return a row per finding, dataset and measure: the verdict by today's rule, the numbers."""
    found = scoreboard.records([root / site.EXECUTED], list(site.workflow(root)["titles"]))
    kept = ["claim", "dataset", "page", "verdict", "outside", "p", "holm"]
    rows = [
        [*(row[name] for name in kept), name, claims.load()[row["claim"]].measures.get(name), *of]
        for row in found.to_dict("records")
        for name, of in row["measures"].items()
    ]
    return pd.DataFrame(rows, columns=[*kept, "measure", "words", "mean", "low", "high", "n"])


def _inputs(pages: Mapping[Path, Path]) -> pd.DataFrame:
    """Return each file that a part was made from: its SHA-256 as on the data card, its address."""
    rows = []
    for page in (path for path in pages if path.stem == "01-data"):
        name = ast.literal_eval(values_of(pages[page])["dataset"])
        files = data.DATASETS[name].files if name in data.DATASETS else []
        urls, text = {file.path: file.url for file in files}, pages[page].read_text("utf-8")
        hashes = re.findall(r"(?<=>)([^<>]{1,300}): ([0-9a-f]{64})(?=<)", text)
        named = [(unescape(path), sha) for path, sha in hashes]
        rows += [(page.parent.name, name, path, sha, urls.get(path, "")) for path, sha in named]
    return pd.DataFrame(rows, columns=["part", "dataset", "file", "sha256", "url"])


def croissant(name: str, inputs: pd.DataFrame, root: Path = site.ROOT) -> dict[str, Any]:
    """Return the Croissant metadata of a known dataset, which its library checks."""
    facts = data.DATASETS[name].facts
    entries = (root / "references.bib").read_text("utf-8").strip().split("\n\n")
    files = inputs.drop_duplicates("file").to_dict("records")
    return mlcroissant.Metadata(
        name=name,
        description=f"{facts['origin']}. Text of an item: {facts['text']}.",
        license=[facts["licence"]],
        url=re.sub(r"pkg:pypi/(.+)@(.+)#.*", r"https://pypi.org/project/\1/\2/", files[0]["url"]),
        cite_as=next((entry for entry in entries if f"{{{facts['citation']}," in entry), None),
        distribution=[
            mlcroissant.FileObject(
                id=file["file"], name=Path(file["file"]).name, content_url=file["url"],
                encoding_formats=[KINDS.get(Path(file["file"]).suffix, "text/plain")],
                sha256=file["sha256"],
            )
            for file in files
        ],
    ).to_json()  # fmt: skip


def codemeta(root: Path = site.ROOT) -> dict[str, Any]:
    """Return CodeMeta of the software, from the files that state each thing, and from git."""
    cited = yaml.safe_load((root / "CITATION.cff").read_text("utf-8"))
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    (paper,), commit = cited["references"], site.git(*site.COMMIT, root=root)
    if not commit:
        raise InputError(f"{root} is no clone, and an archive names its commit: git clone the book")
    return {
        "@context": "https://w3id.org/codemeta/3.0", "@type": "SoftwareSourceCode",
        "name": cited["title"], "description": cited["abstract"].strip(),
        "version": cited["version"], "identifier": commit,
        "dateModified": site.git("show", "--no-patch", "--format=%cI", root=root),
        "author": [_agent(author) for author in cited["authors"]],
        "license": f"https://spdx.org/licenses/{cited['license']}",
        "codeRepository": config["repository"]["url"], "keywords": project["keywords"],
        "programmingLanguage": "Python", "runtimePlatform": f"Python {project['requires-python']}",
        "softwareRequirements": project["dependencies"],
        "referencePublication": {
            "@type": "ScholarlyArticle", "name": paper["title"],
            "author": [_agent(author) for author in paper["authors"]],
            "identifier": paper["identifiers"][0]["value"],
        },
    }  # fmt: skip


def _agent(author: Mapping[str, str]) -> dict[str, str]:
    name = author.get("name") or f"{author['given-names']} {author['family-names']}"
    return {"@type": "Organization" if "name" in author else "Person", "name": name}


def crate(files: Mapping[str, bytes], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the RO-Crate metadata of files: of each its kind, its size and its SHA-256."""
    made = ROCrate(version="1.2")
    authors = [ContextEntity(made, f"#author-{n}", one) for n, one in enumerate(about["author"], 1)]
    made.add(*authors)
    made.name, made.description = about["name"], about["description"]
    made.creator, made.license = authors, {"@id": "LICENSE"}
    made.datePublished, made.root_dataset["version"] = about["dateModified"], about["identifier"]
    for name, content in sorted(files.items()):
        told = {
            "name": name,
            "encodingFormat": KINDS.get(Path(name).suffix, "text/plain"),
            "contentSize": str(len(content)),
        }
        told["sha256"] = hashlib.sha256(content).hexdigest()
        made.add_file(dest_path=name, properties=told)
    return made.metadata.generate()
