"""Sphinx extensions of the book: the bar under each title, and directives that show tables."""
