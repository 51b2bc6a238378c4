"""The one error that is meant for people."""


class InputError(ValueError):
    """What was given, what is accepted and what to do next, in one sentence.

    Raised for everything a person can put right: a name, a parameter, a file. A notebook shows
    the sentence alone, because a traceback through our own checks tells its reader nothing.
    """

    def _render_traceback_(self) -> list[str]:
        """Tell IPython to show the sentence instead of a traceback."""
        return [f"InputError: {self}"]
