"""The commands behind ``make``: fit a view, execute a chapter, put the book together, look after
the cache. ``python -m companion COMMAND --help`` tells what each accepts.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from companion import execute, site
from lib.core import InputError

_Command = Callable[[argparse.Namespace], int | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 where a chapter failed or came out otherwise than published, 2
    where what was given is wrong.

    130 says that it was interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except execute.ChapterError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # What waited for a kernel learns that it died, and asyncio would tell so in a traceback.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        print("\nInterrupted. What was finished is kept: the command goes on.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m companion", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    execute = _command(commands, "execute", _execute, "execute one chapter on one dataset")
    execute.add_argument("chapter", type=Path, help="the notebook, such as chapters/01-data.ipynb")
    execute.add_argument(
        "dataset",
        nargs="?",
        help="a known name, such as ml-100k or ml-100k@k=50, or a directory of your own",
    )
    execute.add_argument("--out", type=Path, help="where to write (default: under _build/executed)")
    _parameters(execute)

    fit = _command(commands, "fit", _fit, "train a model on a dataset and keep it in the cache")
    fit.add_argument("dataset", help="a known name, or a directory with your own data")
    fit.add_argument("model", help="such as lightgcn")
    fit.add_argument("--split", default="random", help="random or temporal")
    fit.add_argument("--seed", type=int, default=0, help="of the model, not of the split")
    fit.add_argument("--out", type=Path, help="write what is known of the fit here, as JSON")
    _parameters(fit)

    export = _command(
        commands, "export", _export, "write a model's lists, and what is relevant, as TREC files"
    )
    export.add_argument("dataset", help="a known name, or a directory with your own data")
    export.add_argument("model", help="such as lightgcn")
    export.add_argument("--split", default="random", help="random or temporal")
    export.add_argument("--seed", type=int, default=0, help="of the model, not of the split")
    export.add_argument("--k", type=int, default=100, help="length of the lists")
    export.add_argument("--out", type=Path, required=True, help="the run; beside it NAME.qrels")
    _parameters(export)

    stage = _command(commands, "stage", _stage, "put the book's sources together in _build/site")
    stage.add_argument("--fresh", action="store_true", help="fresh runs take the published place")

    alone = _command(commands, "alone", _alone, "run a command if no other such one runs here")
    alone.add_argument("words", nargs=argparse.REMAINDER, help="the command")

    _command(commands, "checked", _checked, "name the chapters whose published outputs are tested")

    publish = _command(
        commands, "publish", _publish, "copy fresh runs to executed/, to be committed"
    )
    publish.add_argument("datasets", nargs="*", help="default: those of workflow.yml")

    compare = _command(
        commands, "compare", _compare, "hold fresh runs against what is published, by finding"
    )
    compare.add_argument("datasets", nargs="*", help="default: all that both have")

    cache = _command(commands, "cache", _cache, "say what is cached, where, and how big it is")
    cache.add_argument(
        "--clear", nargs="?", const="", metavar="KIND", help="delete it, or one kind"
    )

    template = _command(commands, "template", _template, "begin a folder for your own data")
    template.add_argument("directory", type=Path, help="a new or empty folder")

    validate = _command(commands, "validate", _validate, "name every fault of your own dataset")
    validate.add_argument("directory", help="with an interactions and an items table")
    return parser


def _command(commands: Any, name: str, run: _Command, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _parameters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a parameter; may be given several times",
    )


def _values(pairs: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {name: execute.literal(text) for name, text in pairs}


def _execute(options: argparse.Namespace) -> None:
    name = execute.slug(options.dataset) if options.dataset else ""
    folder = Path(site.BUILD, site.EXECUTED, name)
    out = options.out or folder / options.chapter.name
    values = _values(options.parameters)
    print(execute.execute(options.chapter, options.dataset, values, out))


def _fit(options: argparse.Namespace) -> None:
    from companion import data
    from lib import views

    dataset = data.load(options.dataset, split=options.split)
    values = _values(options.parameters)
    view = views.fit(dataset, options.model, seed=options.seed, **values)
    text = json.dumps(view.info, indent=1, sort_keys=True, default=str)
    if options.out is None:
        print(text)
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    part = options.out.with_suffix(f".{os.getpid()}.part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(options.out)


def _export(options: argparse.Namespace) -> None:
    from companion import data
    from companion.data import trec
    from lib import views
    from lib.topk import topk

    dataset = data.load(options.dataset, split=options.split)
    view = views.fit(dataset, options.model, seed=options.seed, **_values(options.parameters))
    found = topk(view.users, view.items, options.k, exclude=dataset.seen)
    keys = list(dataset.items["key"])
    run = trec.run_table(
        found.items.numpy(), found.scores.numpy(), keys, f"{options.model}-{options.seed}"
    )
    judged = trec.qrels_table(dataset.test, keys)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for path, table in ((options.out, run), (options.out.with_suffix(".qrels"), judged)):
        path.write_text(trec.file_text(table), encoding="utf-8")
        print(path)


def _stage(options: argparse.Namespace) -> None:
    print(site.stage(site.ROOT / site.BUILD / "site", fresh=options.fresh))


def _alone(options: argparse.Namespace) -> None:
    from companion import alone

    alone.become(options.words)


def _checked(options: argparse.Namespace) -> None:
    print(*site.workflow()["test"]["checked"])


def _publish(options: argparse.Namespace) -> None:
    names = options.datasets or site.workflow()["datasets"]
    for path in site.publish(names):
        print(path.relative_to(site.ROOT))


def _compare(options: argparse.Namespace) -> int:
    from companion import comparison

    folders = site.ROOT / site.EXECUTED, site.ROOT / site.BUILD / site.EXECUTED
    table, others = comparison.compared(*folders, datasets=options.datasets)
    if not table.empty:
        print(table.to_string(index=False, float_format="{:.3f}".format))
    if others:
        print(f"Judged with other parameters, so not compared: {'; '.join(others)}")
    print(comparison.summary(table))
    return int(comparison.counted(table).same < len(table))


def _cache(options: argparse.Namespace) -> None:
    from lib import cache

    if options.clear is None:
        print(cache.report())
    else:
        print(f"{cache.clear(options.clear or None)} entries deleted from {cache.root()}")


def _template(options: argparse.Namespace) -> None:
    from companion.data import folder

    print(*folder.write_template(options.directory), sep="\n")
    print(f"Put your own rows there, then: python -m companion validate {options.directory}")


def _validate(options: argparse.Namespace) -> None:
    from companion.data import folder

    said = folder.validate(options.directory)
    notes = [sentence for sentence in said if sentence.startswith("note")]
    faults = [sentence for sentence in said if sentence not in notes]
    print(*notes, sep="\n", end="\n" if notes else "")
    if faults:
        raise InputError("\n".join(faults))
    print(f"{options.directory} can be used: make book DATASETS={options.directory}")


if __name__ == "__main__":
    sys.exit(main())
