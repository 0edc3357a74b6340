"""Methods that learn codes, all under the contract of ``pyhash.methods.base``."""

from pyhash.methods.registry import load
from pyhash.methods.shoh import SHOH

__all__ = ["SHOH", "load"]
