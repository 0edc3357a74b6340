"""The ``pyhash`` command."""
