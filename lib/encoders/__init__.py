"""The models: each a page that gives user and item vectors whose inner product ranks.

``TRAINED`` encoders go through the one training loop of ``lib.encoders.training``; ``SOLVED``
ones come in closed form. A name in either is a ``model`` for ``lib.views.fit``.
"""
