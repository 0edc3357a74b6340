"""The displays behind ``pyhash.plotting``, one file each."""
