"""Slow, readable oracles, written from the definitions; the product must agree with them."""
