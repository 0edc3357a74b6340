"""Comparison of methods under equal conditions.

``compare`` runs methods at several lengths and seeds on the same data and split, under the same protocols. ``pyhash
bench`` runs it from the command line.
"""

from pyhash.comparison.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
