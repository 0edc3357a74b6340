"""Methods that learn codes, all under the contract of ``pyhash.methods.contract``, and their feature maps."""

from pyhash.methods.batch import BATCH
from pyhash.methods.cca import CCAITQ, CCASign
from pyhash.methods.dch import DCH
from pyhash.methods.dsfh import DSFH
from pyhash.methods.lemon import LEMON
from pyhash.methods.parts.feature_maps import Centering, FeatureMap, RBFAnchors, Standardizing, UnitLength
from pyhash.methods.recipes import make_method
from pyhash.methods.registry import load
from pyhash.methods.scm import SCMSeq
from pyhash.methods.seoch import SEOCH
from pyhash.methods.shoh import SHOH
from pyhash.methods.single import LSH, PCAITQ, FeatureSign, PCASign

__all__ = [
    "BATCH",
    "CCAITQ",
    "DCH",
    "DSFH",
    "LEMON",
    "LSH",
    "PCAITQ",
    "SEOCH",
    "SHOH",
    "CCASign",
    "Centering",
    "FeatureMap",
    "FeatureSign",
    "PCASign",
    "RBFAnchors",
    "SCMSeq",
    "Standardizing",
    "UnitLength",
    "load",
    "make_method",
]
