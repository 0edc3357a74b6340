"""Exact search over plain arrays of packed codes, in one stage or two, and the joining of what several searches found.

An index (``pyhash.CodeIndex``) keeps what makes a search fast from one call to the next; these functions are for codes
that are searched once. Ids are row numbers here. Results do not depend on the number of threads or the CPU: ties go by
ascending id.
"""

from pyhash.search.functions import hamming_radius, hamming_top_k, weighted_radius, weighted_top_k
from pyhash.search.hits import HitLists, Hits
from pyhash.search.merging import merge_hits
from pyhash.search.reranking import weighted_rerank

__all__ = [
    "HitLists",
    "Hits",
    "hamming_radius",
    "hamming_top_k",
    "merge_hits",
    "weighted_radius",
    "weighted_rerank",
    "weighted_top_k",
]
