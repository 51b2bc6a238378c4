"""Execute chapters with papermill; names of datasets and parts, and parameters, are read here."""

from __future__ import annotations

import ast
import json
import math
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.core import InputError, first_line

if TYPE_CHECKING:
    from nbformat import NotebookNode

AS_WRITTEN = ("dataset", "split", "encoder", "fields", "device")
"""The parameters that are text, also where it reads as a number, such as a folder named 1e3."""
BOUNDS = {"seed": (0, math.inf), "seeds": (1, 100), "k": (1, math.inf), "others": (1, math.inf)}
"""The least and the most that a parameter of every chapter that has it may be."""

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3", "file_extension": ".py"}


class ChapterError(RuntimeError):
    """A chapter stopped: one sentence that names chapter, cell and error."""


def _code_cells(notebook: Path) -> list[tuple[str, list[str]]]:
    """Return the source and the tags of every code cell of a notebook."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = (cell for cell in cells if cell["cell_type"] == "code")
    return [("".join(cell["source"]), cell["metadata"].get("tags", [])) for cell in code]


def own_code(notebook: Path) -> list[str]:
    """Return the source of a notebook's own code cells, without the parameters of one run."""
    cells = _code_cells(notebook)
    return [source.strip() for source, tags in cells if "injected-parameters" not in tags]


def values_of(
    notebook: Path, kinds: Iterable[str] = ("parameters", "injected-parameters")
) -> dict[str, str]:
    """Return as code what a notebook's parameters are, those of one run before its defaults."""
    sources = (source for source, tags in _code_cells(notebook) if set(kinds) & set(tags))
    lines = (line for source in sources for line in ast.parse(source).body)
    assigned = [line for line in lines if isinstance(line, ast.Assign)]
    return {ast.unparse(line.targets[0]): ast.unparse(line.value) for line in assigned}


def records_of(notebook: Path, kind: str) -> list[Any]:
    """Return what a notebook's outputs of one media type hold, in their order."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = (output.get("data", {}) for cell in cells for output in cell.get("outputs", []))
    return [data[kind] for data in outputs if kind in data]


def executed(folder: Path) -> list[Path]:
    """Return the executed notebooks in a folder in the book's order, without failed runs."""
    return sorted(p for p in folder.glob("[!.]*.ipynb") if not p.stem.endswith(".failed"))


def in_order(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """Return names in the given order, others after them by name."""
    rank = {name: number for number, name in enumerate(order)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def refuse_unknown(chapter: str, given: Iterable[str], accepted: Iterable[str]) -> None:
    """Raise InputError for parameters that a chapter does not have."""
    if unknown := sorted(set(given) - set(accepted)):
        raise InputError(
            f"chapter {chapter} has no parameter {', '.join(map(repr, unknown))}: "
            f"it accepts {', '.join(accepted) or 'none'}"
        )


def slug(dataset: str) -> str:
    """Return the name of a dataset's folder and part: its own, or that of its directory."""
    plain, _ = variant(dataset)
    settings = dataset[len(plain) :]
    name = re.sub(r"[^a-z0-9._-]+", "-", (Path(plain).name + settings).lower()).strip("-.")
    if not name or {"\n", "\r"} & set(dataset):
        raise InputError(
            f"{dataset!r} leaves no name for a folder: give a dataset's name or a directory "
            "whose name has a letter from a to z or a digit, and no line break."
        )
    return name


def words(given: object) -> list[str]:
    """Return the names in a text, or in each of a list, as a shell would split and unquote them.

    An existing directory is one name.
    """
    names: list[str] = []
    for text in map(str, given if isinstance(given, list) else [given]):
        try:
            names += [text] if os.path.isdir(text) else shlex.split(text)
        except ValueError:
            raise InputError(
                f"{text!r} has a quotation mark that is not closed: close it."
            ) from None
    return names


def parts(given: object) -> dict[str, str]:
    """Return the datasets that ``words`` finds, by the folder of each one's part of the book."""
    found: dict[str, str] = {}
    for name in words(given):
        other = found.setdefault(slug(name), name)
        if other != name:
            raise InputError(
                f"{other!r} and {name!r} would both be the part {slug(name)!r} of the book: "
                "rename one of the two folders."
            )
    if given and not found:
        raise InputError(f"{given!r} names no dataset: give one, such as ml-100k.")
    return found


def variant(name: str) -> tuple[str, dict[str, Any]]:
    """Return the dataset and the parameters of ``DATASET@NAME=VALUE,NAME=VALUE``.

    A directory that exists is a dataset whatever its name.
    """
    dataset, _, settings = (name, "", "") if os.path.isdir(name) else name.partition("@")
    # a comma may also stand in a value, as in fields=title,brand
    pairs = [p.partition("=") for p in re.split(",(?=$|,|[^,=]*=)", settings) if settings]
    for parameter, _, value in pairs:
        if not parameter or not value:
            raise InputError(
                f"{name!r} sets {parameter!r} to {value!r}: write DATASET@NAME=VALUE,NAME=VALUE, "
                "such as ml-100k@k=50,seeds=1."
            )
    return dataset, {parameter: literal(value, parameter) for parameter, _, value in pairs}


def literal(text: str, name: str = "") -> Any:
    """Return a parameter's value as Python writes it (50, 1e-3, None), 1e4 as 10000, or as text."""
    if name in AS_WRITTEN:
        return text
    try:
        value = ast.literal_eval(text)
        whole = isinstance(value, float) and value.is_integer() and "." not in text
        return int(value) if whole else value
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all it may raise
        return text


def parameters(chapter: Path) -> dict[str, Any]:
    """Return the names and defaults that a chapter declares in its cell tagged ``parameters``."""
    if not chapter.is_file():
        folder = chapter if chapter.is_dir() else chapter.parent
        known = ", ".join(sorted(path.name for path in folder.glob("*.ipynb"))) or "(none)"
        raise InputError(f"There is no chapter {chapter}: choose one of {known} in {folder}.")
    try:
        return {name: literal(default) for name, default in values_of(chapter).items()}
    except (OSError, ValueError, LookupError, TypeError) as fault:
        raise InputError(f"{chapter} is no notebook ({first_line(fault)}): give one.") from None


def checked(chapter: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a chapter's parameters in the types of its defaults; refuse others before any work."""
    declared = parameters(chapter)
    refuse_unknown(chapter.stem, given, declared)
    values = {name: _of_kind(name, value, declared[name]) for name, value in given.items()}
    refuse_out_of_bounds(values)
    if "dataset" in values:
        from companion import data  # pandas: no other command waits for it

        both = {"split": "random", "fields": "all"} | declared | values
        data.check(both["dataset"], both["split"], both["fields"])
    return values


def refuse_out_of_bounds(values: Mapping[str, Any]) -> None:
    """Refuse numbers outside ``BOUNDS``."""
    for name, (least, most) in BOUNDS.items():
        if not least <= (value := values.get(name, least)) <= most:
            accepted = f"from {least} to {most}" if most < math.inf else f"of at least {least}"
            raise InputError(f"{name} = {value} was given; give a whole number {accepted}")


def _of_kind(name: str, value: Any, default: Any) -> Any:
    """Return a value in the type of its default, or refuse it: any word is text, 1 is also 1.0."""
    kind = type(default)
    if type(value) is kind or kind not in (bool, int, float, str):
        return value
    if kind is str or (kind is float and type(value) is int):
        return kind(value)
    raise InputError(
        f"{name} = {value!r} was given; it must be of type {kind.__name__}, such as {default!r}"
    )


def execute(chapter: Path, dataset: str | None, given: Mapping[str, Any], out: Path) -> Path:
    """Execute ``chapter`` on ``dataset`` and write the normalised notebook to ``out``.

    ``dataset`` may carry parameters (``variant``), which ``given`` overrides; it is None for a
    chapter about all datasets, such as the scoreboard. ``out`` is replaced only after the last
    cell succeeded. If a cell fails, which is a ChapterError, ``out`` stays as it was, and the
    notebook as far as it ran is written beside it as ``NAME.failed.ipynb``.
    """
    import nbformat

    values = dict(given)
    if dataset is not None:
        plain, more = variant(dataset)
        values = {"dataset": plain, **more, **given}
    values = checked(chapter, values)
    out.parent.mkdir(parents=True, exist_ok=True)
    failed, draft = out.with_suffix(".failed.ipynb"), out.with_suffix(".part")
    with tempfile.TemporaryDirectory() as folder:
        running = Path(folder, chapter.name)
        try:
            _run(chapter, running, values)
        except ChapterError as error:
            shutil.copyfile(running, failed)
            name = f"{chapter.stem} on {dataset}" if dataset else chapter.stem
            raise ChapterError(f"{name} {error}. As far as it ran it is in {failed}.") from None
        notebook = nbformat.read(running, 4)
    normalise(notebook, slug(dataset) if dataset else "")
    nbformat.write(notebook, draft)
    draft.replace(out)
    failed.unlink(missing_ok=True)
    return out


def _run(chapter: Path, out: Path, values: Mapping[str, Any]) -> None:
    """Execute all cells with a progress bar; their stderr is shown as it comes."""
    import nbformat
    from nbclient.exceptions import DeadKernelError
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    try:
        execute_notebook(
            str(chapter), str(out), dict(values), kernel_name=KERNEL["name"],
            stderr_file=sys.stderr,
            extra_arguments=["--log-level=CRITICAL"],  # without the kernel's own notices
            # seconds after an interrupt: half to ask a busy kernel to end, half to terminate it
            config=Config(KernelManager={"shutdown_wait_time": 2.0}),
        )  # fmt: skip
    except PapermillExecutionError as error:
        last = (str(error.evalue).strip().splitlines() or [""])[-1]
        raise ChapterError(f"stopped in cell [{error.exec_count}]: {error.ename}: {last}") from None
    except DeadKernelError:
        counts = [cell.get("execution_count") or 0 for cell in nbformat.read(out, 4).cells]
        why = "the kernel died, most often for want of memory"
        raise ChapterError(f"stopped in or after cell [{max(counts)}]: {why}") from None


def normalise(notebook: NotebookNode, name: str) -> None:
    """Remove from an executed notebook, in place, all that differs between two equal runs.

    Timings, random ids, versions of the interpreter and progress bars go; ``{dataset}`` in markdown
    becomes ``name``; the injected parameters are folded like other code. Of a chapter that ended
    itself, which has no finding that can be judged, the words on its figures go.
    """
    cells = notebook.cells
    names = [{of.get("ename") for of in cell.get("outputs", [])} for cell in cells]
    end = next((n for n, of in enumerate(names) if "SystemExit" in of), len(cells))
    notebook.cells = cells[:end] + [cell for cell in cells[end:] if cell.cell_type == "code"]
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for key in ("papermill", "widgets"):
        notebook.metadata.pop(key, None)
    notebook.metadata.update(kernelspec=dict(KERNEL), language_info=dict(LANGUAGE))
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("{dataset}", name)  # for titles that are unique
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = ["injected-parameters", "hide-input"]
        if cell.cell_type == "code":
            # Progress bars and their seconds were shown while the chapter ran.
            cell.outputs = [
                output for output in cell.outputs
                if output.get("name") != "stderr" and output.get("ename") != "SystemExit"
            ]  # fmt: skip
            for data in (output.get("data", {}) for output in cell.outputs):
                texts = {kind: text for kind, text in data.items() if kind.startswith("text/")}
                data.update({kind: _stable(text, number) for kind, text in texts.items()})


def _stable(text: str, cell: int) -> str:
    """Replace the random ids that pandas gives styled tables, and drop addresses in memory."""
    for number, name in enumerate(dict.fromkeys(re.findall(r'\bid="(T_[0-9a-f]{5})"', text))):
        text = text.replace(name, f"T_{cell:02d}_{number}")
    return re.sub(r" at 0x[0-9a-f]+(?=>)", "", text)
