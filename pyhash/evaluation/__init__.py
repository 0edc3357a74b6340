"""Protocols and metrics.

Average precision, nDCG, reciprocal rank, precision-recall curves, precision and recall at N, retrieval of the same
item, distances of class centers; intervals of means and tests of their differences. Every score holds the protocol
under which it was measured.
"""

from pyhash.evaluation.average_precision import MeanAveragePrecision, mean_average_precision
from pyhash.evaluation.class_centers import ClassDistances, class_distances
from pyhash.evaluation.curves import (
    PrecisionAt,
    PrecisionRecallCurve,
    RecallAt,
    precision_at,
    precision_recall_curve,
    recall_at,
)
from pyhash.evaluation.discounted_gain import NDCG, ndcg
from pyhash.evaluation.instance_retrieval import InstanceRetrieval, instance_retrieval
from pyhash.evaluation.protocol import Protocol
from pyhash.evaluation.reciprocal_rank import MeanReciprocalRank, mean_reciprocal_rank
from pyhash.evaluation.significance import ConfidenceInterval, PairedTest, confidence_interval, paired_test
from pyhash.evaluation.trec import write_qrels, write_run

__all__ = [
    "NDCG",
    "ClassDistances",
    "ConfidenceInterval",
    "InstanceRetrieval",
    "MeanAveragePrecision",
    "MeanReciprocalRank",
    "PairedTest",
    "PrecisionAt",
    "PrecisionRecallCurve",
    "Protocol",
    "RecallAt",
    "class_distances",
    "confidence_interval",
    "instance_retrieval",
    "mean_average_precision",
    "mean_reciprocal_rank",
    "ndcg",
    "paired_test",
    "precision_at",
    "precision_recall_curve",
    "recall_at",
    "write_qrels",
    "write_run",
]
