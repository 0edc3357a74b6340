"""How well a model retrieves, kept beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyhash._files.atomic import atomic_file
from pyhash._files.checked_json import checked_json, read_checked_json
from pyhash._inputs.checks import check_integer
from pyhash.retriever.manifest import EVALUATION

FORMAT = "pyhash-evaluation"
VERSION = 1


def write_evaluation(folder: Path, evaluation: object, fingerprint: str, n_samples: int) -> None:
    """Write an evaluation of a model to its file, whole or not at all."""
    checked = check_evaluation(evaluation)
    content = {"fingerprint": fingerprint, "n_samples": n_samples, "evaluation": checked}
    with atomic_file(folder / EVALUATION) as file:
        file.write(checked_json(FORMAT, VERSION, content))


def read_evaluation(folder: Path, fingerprint: str, n_samples: int) -> dict[str, Any] | None:
    """Return the evaluation of a model; None where there is none, or one of what it was before it learned further.

    Raises
    ------
    ModelFormatError
        If the file is damaged.
    """

    def of_fields(fields: dict[str, Any]) -> dict[str, Any] | None:
        evaluation = check_evaluation(fields.pop("evaluation", None))
        return evaluation if fields == {"fingerprint": fingerprint, "n_samples": n_samples} else None

    try:
        return read_checked_json(folder / EVALUATION, FORMAT, VERSION, "an evaluation", of_fields)
    except FileNotFoundError:
        return None


def check_evaluation(evaluation: object) -> dict[str, Any]:
    """Return an evaluation as values of JSON.

    Raises
    ------
    TypeError, ValueError
        If it does not have the form that ``Retriever.write_evaluation`` describes.
    """
    given = _mapping("evaluation", evaluation)
    _only("evaluation", given, ("rows", "labels", "directions", "rounds"))
    for name in ("rows", "labels", "directions"):
        if name not in given:
            raise ValueError(f"evaluation must have {name!r}")
    if not isinstance(given["labels"], str):
        raise TypeError(f"evaluation['labels'] must be a str, got {given['labels']!r}")
    checked: dict[str, Any] = {
        "rows": check_integer("evaluation['rows']", given["rows"], 1),
        "labels": given["labels"],
        "directions": {},
    }
    for direction, kinds in _mapping("evaluation['directions']", given["directions"]).items():
        where = f"evaluation['directions'][{direction!r}]"
        _only(where, _mapping(where, kinds), ("plain", "weighted"))
        checked["directions"][direction] = {kind: _scores(f"{where}[{kind!r}]", kinds[kind]) for kind in kinds}
    if "rounds" in given:
        rounds = given["rounds"]
        if not isinstance(rounds, (list, tuple)):
            raise TypeError(f"evaluation['rounds'] must be a list, got {type(rounds).__name__}")
        checked["rounds"] = [_round(f"evaluation['rounds'][{i}]", each) for i, each in enumerate(rounds)]
    return checked


def _scores(where: str, scores: object) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in _mapping(where, scores).items():
        if name == "curve":
            curve = _mapping(f"{where}['curve']", value)
            _only(f"{where}['curve']", curve, ("recall", "precision"))
            if set(curve) != {"recall", "precision"} or not all(
                hasattr(points, "__len__") for points in curve.values()
            ):
                raise ValueError(f"{where}['curve'] must have lists 'recall' and 'precision'")
            points = {axis: [_score(f"{where}['curve']", point) for point in curve[axis]] for axis in curve}
            if len(points["recall"]) != len(points["precision"]):
                raise ValueError(f"{where}['curve'] must have as many values of recall as of precision")
            checked[name] = points
        else:
            checked[name] = _score(f"{where}[{name!r}]", value)
    return checked


def _round(where: str, given: object) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in _mapping(where, given).items():
        is_count = name == "n_seen"
        checked[name] = (
            check_integer(f"{where}['n_seen']", value, 0) if is_count else _score(f"{where}[{name!r}]", value)
        )
    if "n_seen" not in checked:
        raise ValueError(f"{where} must have 'n_seen'")
    return checked


def _score(where: str, value: object) -> float:
    if isinstance(value, (bool, str, bytes)):
        raise TypeError(f"{where} must be a number from 0 to 1, got {value!r}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"{where} must be a number from 0 to 1, got {value!r}") from None
    if not math.isfinite(number) or not 0 <= number <= 1:
        raise ValueError(f"{where} must be a number from 0 to 1, got {number}")
    return number


def _mapping(where: str, given: object) -> Mapping[str, Any]:
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise TypeError(f"{where} must be a mapping by str, got {type(given).__name__}")
    return given


def _only(where: str, given: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in given:
        if name not in names:
            raise ValueError(f"{where} must have {', '.join(map(repr, names))} alone, got {name!r}")
