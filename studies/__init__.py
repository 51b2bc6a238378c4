"""The experiments behind the chapters: what a chapter compares, and how its tables are made.

A study rests on the library and the library on no study, so that ``lib`` without this package is
what one wants for one's own vectors and lists.
"""
