"""The table of methods. Everything that lists methods reads it.

A method is one file and one line in this table, and an import for type checkers, which a test asks for, in
``pyhash/methods/__init__.py``. A deep one is imported in ``pyhash/deep/__init__.py`` instead.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pyhash.methods.contract import HashingMethod

# The class of each method, by its name on the command line and in tables. Classes load when they are first used; those
# of pyhash.deep need torch, and are public there.
METHODS = {
    "boch": "pyhash.methods.boch.BOCH",
    "shoh": "pyhash.methods.shoh.SHOH",
    "lemon": "pyhash.methods.lemon.LEMON",
    "seoch": "pyhash.methods.seoch.SEOCH",
    "dsfh": "pyhash.methods.dsfh.DSFH",
    "batch": "pyhash.methods.batch.BATCH",
    "dch": "pyhash.methods.dch.DCH",
    "scm-seq": "pyhash.methods.scm_seq.SCMSeq",
    "cca-itq": "pyhash.methods.cca_itq.CCAITQ",
    "cca-sign": "pyhash.methods.cca_sign.CCASign",
    "feature-sign": "pyhash.methods.feature_sign.FeatureSign",
    "lsh": "pyhash.methods.lsh.LSH",
    "pca-sign": "pyhash.methods.pca_sign.PCASign",
    "pca-itq": "pyhash.methods.pca_itq.PCAITQ",
    "sdch": "pyhash.deep.sdch.SDCH",
    "dhsl": "pyhash.deep.dhsl.DHSL",
}


def method_class(name: str) -> type[HashingMethod]:
    """Return the class of a method by its name in the table.

    Raises
    ------
    KeyError
        If there is no such method.
    ImportError
        If the method is a deep one and torch is not installed; the message names the extra.
    """
    module, _, class_name = METHODS[name].rpartition(".")
    return cast("type[HashingMethod]", getattr(import_module(module), class_name))


def names_of_classes() -> dict[str, str]:
    """Return the name of each method in the table by the name of its class, which model files hold."""
    return {path.rpartition(".")[2]: name for name, path in METHODS.items()}


def modules_of_classes(package: str) -> dict[str, str]:
    """Return the module of each class that is public in a package, by the name of the class."""
    parts = (path.rpartition(".") for path in METHODS.values())
    return {class_name: module for module, _, class_name in parts if module.startswith(f"{package}.")}
