"""Learning, encoding and evaluation on a cluster, on Dask (extra ``[dask]``)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from pyhash._lazy import lazy_names

if find_spec("dask") is None or find_spec("distributed") is None:
    raise ImportError('pyhash.distributed needs dask and distributed: pip install "pyhash-crossmodal[dask]"')

if TYPE_CHECKING:
    from pyhash.distributed.encoding import encode as encode
    from pyhash.distributed.learning import fit as fit
    from pyhash.distributed.metrics import mean_average_precision as mean_average_precision
    from pyhash.distributed.sharded_index import ShardedIndex as ShardedIndex
else:
    # No module has the name of what it defines: importing it would replace the function by the module.
    _MODULES = {
        "ShardedIndex": "pyhash.distributed.sharded_index",
        "encode": "pyhash.distributed.encoding",
        "fit": "pyhash.distributed.learning",
        "mean_average_precision": "pyhash.distributed.metrics",
    }
    __all__ = sorted(_MODULES)
    __getattr__ = lazy_names("pyhash.distributed", _MODULES)
