"""What the book's answers rest on, tried rather than claimed: ``python -m trust``."""
