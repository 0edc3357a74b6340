"""ONNX files of encoders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pyhash._files.atomic import atomic_file


def import_onnx(path: str | os.PathLike[str]) -> Any:
    """Return the module onnx; raise an ImportError that names the extra where it is not installed."""
    try:
        import onnx
    except ImportError:
        raise ImportError(f'writing {path} needs onnx: pip install "pyhash-crossmodal[onnx]"') from None
    return onnx


def write_model(path: str | os.PathLike[str], model: Any, properties: Mapping[str, str]) -> None:
    """Write a model, atomically; its metadata are `properties` and the version, with the prefix "pyhash."."""
    import pyhash

    named = {"version": pyhash.__version__, **properties}
    import_onnx(path).helper.set_model_props(model, {f"pyhash.{name}": value for name, value in named.items()})
    content = model.SerializeToString()
    with atomic_file(path) as file:
        file.write(content)
