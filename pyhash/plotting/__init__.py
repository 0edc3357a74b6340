"""Charts of evaluation results; needs matplotlib (extra ``[plot]``).

A display holds data and draws it with ``plot``. ``from_codes``, where there is one, computes the data and draws it.
``plot(ax)`` draws on existing axes, so that several runs share a chart.
"""

from pyhash.plotting.bits import BitsDisplay
from pyhash.plotting.bytes_per_item import BytesPerItemDisplay
from pyhash.plotting.charts import require_matplotlib, save_figure
from pyhash.plotting.class_distance import ClassDistanceDisplay
from pyhash.plotting.convergence import ConvergenceDisplay
from pyhash.plotting.precision_at import PrecisionAtDisplay
from pyhash.plotting.precision_recall import PrecisionRecallDisplay
from pyhash.plotting.rounds import RoundsDisplay
from pyhash.plotting.sensitivity import SensitivityDisplay
from pyhash.plotting.training_curves import TrainingCurvesDisplay

__all__ = [
    "BitsDisplay",
    "BytesPerItemDisplay",
    "ClassDistanceDisplay",
    "ConvergenceDisplay",
    "PrecisionAtDisplay",
    "PrecisionRecallDisplay",
    "RoundsDisplay",
    "SensitivityDisplay",
    "TrainingCurvesDisplay",
    "require_matplotlib",
    "save_figure",
]
