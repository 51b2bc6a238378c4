"""The one error that is meant for people."""


class InputError(ValueError):
    """What was given, what is accepted and what to do next, in one sentence.

    Raised for everything a person can put right: a name, a parameter, a file. A notebook shows
    the sentence alone, because a traceback through our own checks tells its reader nothing.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(spelt(sentence))

    def _render_traceback_(self) -> list[str]:
        """Tell IPython to show the sentence instead of a traceback."""
        return [f"InputError: {self}"]


def spelt(text: str) -> str:
    r"""Return text with characters spelt out that a terminal obeys or takes for the end of a line.

    A column of a stranger's file may be called anything, such as \x1b[2J. Line feeds stay: they
    part several sentences.
    """
    return "".join(
        c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def first_line(fault: BaseException) -> str:
    r"""Return the first line of what another's error says, its type where it says nothing.

    Lines end wherever ``str.splitlines`` sees an end, at \r and U+2028 too.
    """
    lines = str(fault).strip().splitlines()
    return lines[0] if lines else type(fault).__name__
