"""Library behind the companion book to "Rethinking Semantic-Collaborative Integration".

Modules are imported by name (``from lib import topk``); importing the package itself loads
nothing heavy.
"""

__version__ = "0.1.0"
