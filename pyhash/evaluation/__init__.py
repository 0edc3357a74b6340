"""How good codes are: average precision, precision-recall curves, precision at N, each under a named protocol."""

from pyhash.evaluation.average_precision import MeanAveragePrecision, mean_average_precision
from pyhash.evaluation.curves import PrecisionAt, PrecisionRecallCurve, precision_at, precision_recall_curve
from pyhash.evaluation.protocol import Protocol

__all__ = [
    "MeanAveragePrecision",
    "PrecisionAt",
    "PrecisionRecallCurve",
    "Protocol",
    "mean_average_precision",
    "precision_at",
    "precision_recall_curve",
]
