"""Comparison of several methods under equal conditions."""

from pyhash.comparison.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
