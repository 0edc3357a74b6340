"""Files of pyhash: atomic writing, archives of arrays with a header, and their two forms."""
