"""Methods that train networks, on PyTorch (extra ``[deep]``), under the same contract as all others."""

try:
    import accelerate as _accelerate  # noqa: F401 - whether it is there
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError('pyhash.deep needs torch and accelerate: pip install "pyhash-crossmodal[deep]"') from error

from pyhash.deep.callbacks import EpochState
from pyhash.deep.collapse import CollapseWarning
from pyhash.deep.dhsl import DHSL
from pyhash.deep.networks.alexnet import AlexNet
from pyhash.deep.sdch import SDCH
from pyhash.deep.training_options import TrainingOptions

__all__ = ["DHSL", "SDCH", "AlexNet", "CollapseWarning", "EpochState", "TrainingOptions"]
