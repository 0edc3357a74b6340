"""A model and an index that learn a stream as one, and go on where they were when they are stopped."""

from pyhash.stream.chunk import StreamChunk
from pyhash.stream.stream_folder import StreamFolder

__all__ = ["StreamChunk", "StreamFolder"]
