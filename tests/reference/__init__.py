"""Slow, readable implementations of the definitions, with which the library must agree."""
