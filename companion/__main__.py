"""The command line behind ``make``: ``python -m companion VERB``, or ``companion VERB``."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from companion import execute, site
from lib.core import InputError, first_line

if TYPE_CHECKING:
    from lib.dataset import Dataset
    from lib.views import View

app = typer.Typer(
    help="Execute chapters, fit models, check your own data, and put the book together.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


Name = Annotated[str, typer.Argument(help="a known dataset, or a folder with your own data")]
Names = Annotated[list[str] | None, typer.Argument(help="datasets; by default all there are")]
Model = Annotated[str, typer.Argument(help="such as lightgcn")]
Split = Annotated[str, typer.Option(help="random or temporal")]
Fields = Annotated[str, typer.Option(help="what makes an item's text: all, or title,brand")]
Seed = Annotated[int, typer.Option(min=0, help="of the model, not of the split")]
Length = Annotated[int, typer.Option(min=1, help="length of the lists")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("-p", metavar="NAME VALUE", help="a parameter; may be given several times"),
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    That is 1 if a chapter failed or a verdict differs, 2 for wrong input, 130 for an interrupt.
    """
    # Tasks that waited for a kernel killed by an interrupt would have asyncio print a traceback.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    words = _joined(sys.argv[1:] if arguments is None else arguments)
    status: Any = 0
    try:
        app(words, prog_name="python -m companion")
    except SystemExit as end:
        status = end.code
    except InputError as error:
        print(error, file=sys.stderr)
        status = 2
    except execute.ChapterError as error:
        print(f"\n{error}", file=sys.stderr)
        status = 1
    except (MemoryError, RuntimeError) as fault:  # torch's, on a processor or on a GPU
        if isinstance(fault, RuntimeError) and "memory" not in str(fault):
            raise
        told = f"the memory is too small ({first_line(fault)[:160]})"
        print(f"{told}: give a smaller dimension, batch or number of negatives", file=sys.stderr)
        status = 2
    if status == 130:
        print("\nInterrupted. What was finished is kept: the command goes on.", file=sys.stderr)
    return int(status or 0)


def _joined(arguments: Sequence[str]) -> list[str]:
    """Write each ``-p NAME VALUE`` as ``-pNAME=VALUE``: typer has no repeatable pairs."""
    words, rest = [], list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "-p" and len(rest) > 1:
            word = f"-p{rest.pop(0)}={rest.pop(0)}"
        words.append(word)
    return words


def _values(parameters: list[str] | None) -> dict[str, Any]:
    """Return the parameters by name, their values as Python writes them or text."""
    pairs = [text.partition("=") for text in parameters or []]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise InputError(f"-p {name} was given; give a name and a value, such as -p k 50")
    return {name: execute.literal(value, name) for name, _, value in pairs}


@app.command("validate")
def _validate(
    directory: Annotated[str, typer.Argument(help="a folder with your own data")],
    k: Length = 20,
) -> None:
    """Name every fault of your own dataset, what is read otherwise, and what it cannot tell."""
    from companion import data, testable
    from companion.data import folder
    from lib import claims

    said = folder.validate(directory)
    print(*(f"{note}\n" for note in said if note.startswith("note")), sep="", end="")
    if faults := [sentence for sentence in said if not sentence.startswith("note")]:
        raise InputError("\n".join(faults))
    if execute.slug(directory) in data.names():
        raise InputError(f"{directory} has a known dataset's name, which would be read: rename it")
    dataset = data.load(directory)
    testable.refuse_long_lists(dataset, k)
    notes = [f"removed: {rows:,} {why}" for why, rows in dataset.card["removed"].items() if rows]
    notes += [f"times from {dataset.card['times']}"] if "times" in dataset.card else []
    notes += filter(None, [testable.cut_texts(dataset)])
    lacking = testable.reasons(dataset, k)
    for why, findings in lacking.items():
        notes.append(f"not testable here: {', '.join(findings)}: {why}")
    print(*(f"note: {note}\n" for note in notes), sep="", end="")
    every = len(claims.load())
    able = every - sum(map(len, lacking.values()))
    few = f" for {able} of {every} findings" if able < every else ""
    print(f"{directory} can be used{few}: make book DATASETS={shlex.quote(directory)}")


@app.command("execute")
def _execute(
    chapter: Annotated[Path, typer.Argument(help="such as chapters/01-data.ipynb")],
    dataset: Annotated[
        str | None, typer.Argument(help="such as ml-100k, ml-100k@k=50, or a folder of your own")
    ] = None,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="the file to write")] = None,
    parameters: Parameters = None,
) -> None:
    """Execute one chapter on one dataset, by default into _build/executed."""
    part = execute.slug(dataset) if dataset else ""
    out = out or Path(site.BUILD, site.EXECUTED, part, chapter.name)
    _check_writable(out)
    print(execute.execute(chapter, dataset, _values(parameters), out))


@app.command("fit")
def _fit(
    dataset: Name, model: Model, split: Split = "random", fields: Fields = "all", seed: Seed = 0,
    parameters: Parameters = None,
) -> None:  # fmt: skip
    """Train a model on a dataset, cache its vectors, and print its record."""
    _, view = _fitted(dataset, model, split, fields, seed, parameters)
    print(json.dumps(view.info, indent=1, sort_keys=True, default=str))


@app.command("fits", hidden=True)
def _fits(
    dataset: Name,
    fits: Annotated[list[str], typer.Argument(help="such as lightgcn@seed=0,dimension=32")],
    split: Split = "random", fields: Fields = "all", parameters: Parameters = None,
) -> None:  # fmt: skip
    """Train many models of a dataset in one process, shared with others given the same."""
    from companion import data, plan

    plan.fit_shared(data.load(dataset, split=split, fields=fields), fits, _values(parameters))


@app.command("plan", hidden=True)
def _plan(jobs: str, workers: int) -> None:
    """Say what the book will take, for ``make plan``: the jobs of each part as JSON."""
    from companion import plan

    print(plan.report(json.loads(jobs), workers))


@app.command("export")
def _export(
    dataset: Name, model: Model,
    out: Annotated[Path, typer.Option(dir_okay=False, help="the run to write")],
    split: Split = "random", fields: Fields = "all", seed: Seed = 0,
    k: Length = 100,
    parameters: Parameters = None,
) -> None:  # fmt: skip
    """Write a model's test lists as a TREC run, and the relevant items beside it as .qrels."""
    from companion.data import trec
    from lib.topk import topk

    if out.suffix.lower() == ".qrels":
        raise InputError(f"--out {out} is where the qrels go; give the run another suffix: .trec")
    files = (out, out.with_suffix(".qrels"))
    _check_writable(*files)
    data, view = _fitted(dataset, model, split, fields, seed, parameters)
    found = topk(view.users, view.items, min(k, data.n_items), exclude=data.seen)
    keys = list(data.items["key"])
    run = trec.run_table(found.items, found.scores, keys, f"{model}-{seed}")
    _write(files, *map(trec.file_text, (run, trec.qrels_table(data.test, keys))))


@app.command("judge")
def _judge(
    qrels: Annotated[Path, typer.Argument(help="relevant items, made anywhere")],
    runs: Annotated[list[Path], typer.Argument(help="two runs to compare; the third is another")],
    null: Annotated[Path | None, typer.Option(help="a second run of the second system")] = None,
    first_null: Annotated[Path | None, typer.Option(help="one of the first system")] = None,
    k: Length = 20,
    out: Annotated[Path, typer.Option(dir_okay=False, help="the page")] = Path("judged.html"),
) -> None:
    """Judge anyone's TREC runs by the rules of chapters 03 to 05: a page, and a table beside it."""
    from companion.judge import judge

    files = (out, out.with_suffix(".csv"))
    read = {path.resolve() for path in (qrels, *runs, null, first_null) if path}
    if read & {path.resolve() for path in files} or out.suffix.lower() == ".csv":
        raise InputError(f"--out {out} would overwrite what is read or written; give another name")
    _check_writable(*files)
    table, page = judge(qrels, runs, k, (first_null, null))
    _write(files, page, table.to_csv(index=False))


def _check_writable(*paths: Path) -> None:
    """Refuse, before any work, files that cannot be written."""
    for path in paths:
        try:
            if path.is_dir():
                raise IsADirectoryError("it is a folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except (OSError, ValueError) as fault:
            why = first_line(fault)
            raise InputError(f"{path} cannot be written ({why}): give another --out") from None


def _write(files: Sequence[Path], *texts: str) -> None:
    """Write each file whole or not at all, and name it."""
    for path, text in zip(files, texts, strict=True):
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_text(text, encoding="utf-8")
        print(part.replace(path))


def _fitted(
    name: str, model: str, split: str, fields: str, seed: int, parameters: list[str] | None
) -> tuple[Dataset, View]:
    from companion import data
    from lib import views

    settings = _values(parameters)
    fixed = {name: settings.pop(name) for name in ("encoder", "device") if name in settings}
    views.settings_of(model, settings)  # before anything is read or downloaded
    dataset = data.load(name, split=split, fields=fields)
    return dataset, views.fit(dataset, model, seed=seed, **fixed, **settings)


@app.command("compare")
def _compare(datasets: Names = None) -> None:
    """Compare fresh runs with the published ones, finding by finding."""
    from companion import scoreboard

    folders = site.ROOT / site.EXECUTED, site.ROOT / site.BUILD / site.EXECUTED
    table = scoreboard.compare(*folders, datasets=list(execute.parts(datasets or [])))
    same = table["otherwise"] == ""
    for words, rows in (("the published", table[same]), ("other", table[~same])):
        if not rows.empty:
            print(rows.to_string(index=False, float_format="{:.3f}".format))
            print(f"With {words} parameters, {scoreboard.in_a_sentence(rows)}\n")
    if (same & (table["published verdict"] != table["verdict now"])).any():
        raise typer.Exit(1)


@app.command("publish")
def _publish(datasets: Names = None) -> None:
    """Copy fresh runs to executed/, to be committed (by default of workflow.yml's datasets)."""
    for path in site.publish([*execute.parts(datasets or site.workflow()["datasets"]).values()]):
        print(path.relative_to(site.ROOT))


@app.command("archive")
def _archive(
    out: Annotated[Path, typer.Option(help="the file to write")] = Path(site.BUILD, "archive.zip"),
) -> None:
    """Keep what is published in one file, an RO-Crate, with what it was made from."""
    from companion import archive

    _check_writable(out)
    print(archive.write(out))


@app.command("pdf")
def _pdf(datasets: Names = None) -> None:
    """Print datasets' parts of the built book, a PDF each (by default workflow.yml's)."""
    from companion import pdf

    for part in execute.parts(datasets or site.workflow()["datasets"]):
        print(pdf.write(part))


@app.command("cache")
def _cache(
    kind: Annotated[str | None, typer.Argument(help="what to delete, such as view")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="delete the KIND, or everything")] = False,
) -> None:
    """Say what is cached, where, and how big it is."""
    from companion import inventory
    from lib import cache

    if clear:
        print(f"{inventory.clear(kind)} entries deleted from {cache.root()}")
    elif kind:
        raise InputError(f"{kind!r} was given without --clear; to delete it: cache --clear {kind}")
    else:
        print(inventory.report())


@app.command("stage", hidden=True)
def _stage(
    fresh: Annotated[bool, typer.Option(help="fresh runs before published")] = False,
) -> None:
    """Put the book's sources together in _build/site."""
    print(site.stage(site.ROOT / site.BUILD / "site", fresh=fresh))


@app.command("checked", hidden=True)
def _checked() -> None:
    """Name the chapters whose published outputs are compared with a new run."""
    print(*site.workflow()["test"]["checked"])


if __name__ == "__main__":
    sys.exit(main())
