"""Measurements of Qibai, each beside its reference, taken in one run: ``python -m bench --help``."""
