"""Checks and conversions of what users pass in."""
