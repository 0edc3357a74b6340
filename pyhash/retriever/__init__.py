"""A model, the encoders of raw items, an index of codes and what is shown of each item, as one."""

from pyhash.retriever.results import Result, Results
from pyhash.retriever.retriever import Retriever

__all__ = ["Result", "Results", "Retriever"]
