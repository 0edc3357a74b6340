"""Parameters of an estimator, as in scikit-learn: the keywords of its constructor, stored unchanged."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pyhash._inputs.checks import check_real, is_sparse

if TYPE_CHECKING:
    from typing_extensions import Self


class Parameters:
    """Base of estimators: get_params and set_params for ``sklearn.base.clone`` and the like."""

    by_name: ClassVar[dict[str, type[Parameters]]] = {}  # every subclass, for those within a model's parameters

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Parameters.by_name[cls.__name__] = cls

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name.

        Parameters
        ----------
        deep : bool
            Ignored; scikit-learn passes it.

        Returns
        -------
        dict
        """
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters by name.

        Parameters
        ----------
        **parameters
            Checked when the model learns next.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no parameter of a name; then none is set.
        """
        names = self._parameter_names()
        for name in parameters:
            if name not in names:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(names)}")
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        shown = [f"{name}={text}" for name, text, is_default in shown_parameters(self) if not is_default]
        return f"{type(self).__name__}({', '.join(shown)})"


def shown_parameters(estimator: Parameters) -> list[tuple[str, str, bool]]:
    """Return the name and the text of each parameter, and whether it has its default."""
    defaults = inspect.signature(type(estimator).__init__).parameters
    with np.printoptions(threshold=8, edgeitems=3):
        return [
            (
                name,
                repr(value),
                isinstance(value, (type(None), bool, int, float, str)) and value == defaults[name].default,
            )
            for name, value in estimator.get_params().items()
        ]


def store_parameter(name: str, value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return a parameter as JSON; arrays within it go into `arrays`, and their names into the JSON."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [store_parameter(f"{name}.{i}", item, arrays) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {"mapping": {str(key): store_parameter(f"{name}.{key}", item, arrays) for key, item in value.items()}}
    if isinstance(value, Parameters):
        nested = {key: store_parameter(f"{name}.{key}", item, arrays) for key, item in value.get_params().items()}
        return {"kind": type(value).__name__, "parameters": nested}
    array = value.toarray() if is_sparse(value) else np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"parameter {name} cannot be saved: it is a {type(value).__name__}")
    arrays[f"parameter.{name}"] = array
    return {"array": f"parameter.{name}"}


def restore_parameter(stored: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the parameter that ``store_parameter`` stored; raise KeyError if its array is missing."""
    if isinstance(stored, list):
        return [restore_parameter(item, arrays) for item in stored]
    if isinstance(stored, dict):
        if "mapping" in stored:
            return {key: restore_parameter(item, arrays) for key, item in stored["mapping"].items()}
        if "kind" in stored:
            nested = {key: restore_parameter(item, arrays) for key, item in stored["parameters"].items()}
            return Parameters.by_name[stored["kind"]](**nested)
        return arrays[stored["array"]]
    return stored


def per_modality(
    name: str, value: Any, modalities: Sequence[str], minimum: float = 0.0, *, exclusive: bool = False, why: str = ""
) -> dict[str, float]:
    """Return a number >= `minimum` for each modality, given as one for all or as a mapping that names each."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(modalities, check_real(name, value, minimum, exclusive=exclusive, why=why))
    wrong = [key for key in value if key not in modalities] + [key for key in modalities if key not in value]
    if wrong:
        raise ValueError(
            f"{name} must be a number or name exactly the modalities {', '.join(map(repr, modalities))}, "
            f"{wrong[0]!r} is {'missing' if wrong[0] in modalities else 'unknown'}"
        )
    return {
        key: check_real(f"{name}[{key!r}]", value[key], minimum, exclusive=exclusive, why=why) for key in modalities
    }
