"""The models: each gives every user and item a vector, and inner products rank.

Trained ones go through the one loop of ``lib.encoders.training``; solved ones (``closed``) come in
closed form. ``lib.views.fit`` knows all of them by name.
"""
