"""Comparison of methods under equal conditions.

``compare`` runs methods at several lengths and seeds on the same data and split, under the same protocols. ``pyhash
bench`` runs it from the command line. A ``Preset`` is an experiment of a paper.
"""

from pyhash.comparison.comparison import Comparison, compare
from pyhash.comparison.preset import Preset
from pyhash.comparison.presets import PRESETS, find_preset

__all__ = ["PRESETS", "Comparison", "Preset", "compare", "find_preset"]
