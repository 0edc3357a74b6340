"""Fuzzers of the Python half: damaged files (``files``) and wrong arguments (``calls``)."""
