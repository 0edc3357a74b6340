"""How good codes are: average precision, precision-recall curves, precision at N, each under a named protocol.

And where they put the classes: distances between class centers. ``compare`` measures several methods at once.
"""

from pyhash.evaluation.average_precision import MeanAveragePrecision, mean_average_precision
from pyhash.evaluation.class_centers import ClassDistances, class_distances
from pyhash.evaluation.comparison import Comparison, compare
from pyhash.evaluation.curves import PrecisionAt, PrecisionRecallCurve, precision_at, precision_recall_curve
from pyhash.evaluation.protocol import Protocol

__all__ = [
    "ClassDistances",
    "Comparison",
    "MeanAveragePrecision",
    "PrecisionAt",
    "PrecisionRecallCurve",
    "Protocol",
    "class_distances",
    "compare",
    "mean_average_precision",
    "precision_at",
    "precision_recall_curve",
]
