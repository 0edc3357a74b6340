"""Methods that learn codes, all under the contract of ``pyhash.methods.contract``, and their feature maps.

Names load when they are first used.
"""

from typing import TYPE_CHECKING

from pyhash._lazy import lazy_names
from pyhash.methods.registry import modules_of_classes

if TYPE_CHECKING:  # what type checkers see; a test compares it with __all__
    from pyhash.methods.batch import BATCH as BATCH
    from pyhash.methods.boch import BOCH as BOCH
    from pyhash.methods.cca_itq import CCAITQ as CCAITQ
    from pyhash.methods.cca_sign import CCASign as CCASign
    from pyhash.methods.dch import DCH as DCH
    from pyhash.methods.dsfh import DSFH as DSFH
    from pyhash.methods.feature_sign import FeatureSign as FeatureSign
    from pyhash.methods.lemon import LEMON as LEMON
    from pyhash.methods.loading import load as load
    from pyhash.methods.lsh import LSH as LSH
    from pyhash.methods.merging import merge as merge
    from pyhash.methods.parts.descent import cyclic_descent as cyclic_descent
    from pyhash.methods.parts.feature_maps import Centering as Centering
    from pyhash.methods.parts.feature_maps import FeatureMap as FeatureMap
    from pyhash.methods.parts.feature_maps import RBFAnchors as RBFAnchors
    from pyhash.methods.parts.feature_maps import Standardizing as Standardizing
    from pyhash.methods.parts.feature_maps import UnitLength as UnitLength
    from pyhash.methods.pca_itq import PCAITQ as PCAITQ
    from pyhash.methods.pca_sign import PCASign as PCASign
    from pyhash.methods.recipes import make_method as make_method
    from pyhash.methods.scm_seq import SCMSeq as SCMSeq
    from pyhash.methods.seoch import SEOCH as SEOCH
    from pyhash.methods.shoh import SHOH as SHOH
else:
    _MODULES = {
        **modules_of_classes("pyhash.methods"),
        **dict.fromkeys(
            ("Centering", "FeatureMap", "RBFAnchors", "Standardizing", "UnitLength"),
            "pyhash.methods.parts.feature_maps",
        ),
        "cyclic_descent": "pyhash.methods.parts.descent",
        "load": "pyhash.methods.loading",
        "make_method": "pyhash.methods.recipes",
        "merge": "pyhash.methods.merging",
    }
    __all__ = sorted(_MODULES)
    __getattr__ = lazy_names("pyhash.methods", _MODULES)

    def __dir__() -> list[str]:
        return __all__
