"""A page in the browser that shows a folder of ``Retriever.save``: queries, answers bit by bit, a map, quality."""

from pyhash.explore.serving import serve

__all__ = ["serve"]
