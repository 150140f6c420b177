"""A fleet in one process: the listener that ships, in a world made of values, on one virtual clock.

Everything that happens follows from a seed, so that a broken promise can be looked at again:
``python -m tests.simulation --seed N``.
"""
