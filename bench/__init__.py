"""Speed and memory, measured beside what a reader would use instead: ``python -m bench``."""
