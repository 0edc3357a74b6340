"""Protocols and metrics.

Average precision, precision-recall curves, precision at N, retrieval of the same item, distances of class centers.
Every result holds the protocol under which it was measured.
"""

from pyhash.evaluation.average_precision import MeanAveragePrecision, mean_average_precision
from pyhash.evaluation.class_centers import ClassDistances, class_distances
from pyhash.evaluation.curves import PrecisionAt, PrecisionRecallCurve, precision_at, precision_recall_curve
from pyhash.evaluation.instance_retrieval import InstanceRetrieval, instance_retrieval
from pyhash.evaluation.protocol import Protocol

__all__ = [
    "ClassDistances",
    "InstanceRetrieval",
    "MeanAveragePrecision",
    "PrecisionAt",
    "PrecisionRecallCurve",
    "Protocol",
    "class_distances",
    "instance_retrieval",
    "mean_average_precision",
    "precision_at",
    "precision_recall_curve",
]
