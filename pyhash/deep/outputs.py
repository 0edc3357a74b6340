"""Outputs of the networks for training rows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from pyhash.codes import sign
from pyhash.deep.networks.hashing_network import HashingNetwork
from pyhash.deep.networks.inputs import to_device
from pyhash.deep.rows import TrainingRows, rows_per_block

Outputs: TypeAlias = dict[str, NDArray[np.float32]]  # by modality

# The two results of ``HashingNetwork.encode``.
FEATURES, OUTPUTS = 0, 1

# What to change where numbers become too large.
ADVICE = "lower the learning rates, or scale the features by feature_maps"


def encode_rows(
    network: HashingNetwork,
    rows: TrainingRows,
    chosen: NDArray[np.int64],
    device: torch.device,
    parts: Sequence[int] = (FEATURES, OUTPUTS),
) -> list[Outputs]:
    """Return features and outputs, or one of them, of the chosen rows of every modality.

    Raises
    ------
    ValueError
        If some are not finite.
    """
    network.eval()
    size = rows_per_block(rows.specs.values())
    blocks = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    blocks_of: list[dict[str, list[NDArray[np.float32]]]] = [{name: [] for name in rows.specs} for _ in parts]
    with torch.no_grad(), closing(rows.batches(blocks)) as batches:
        for inputs in batches:
            for name, x in inputs.items():
                encoded = network.encode(name, to_device(x, device))
                for part, of_part in zip(parts, blocks_of, strict=True):
                    of_part[name].append(encoded[part].float().cpu().numpy())
    found = [{name: np.concatenate(of_name) for name, of_name in of_part.items()} for of_part in blocks_of]
    for name in rows.specs:
        if not all(np.isfinite(of_part[name]).all() for of_part in found):
            raise ValueError(f"training must keep outputs finite, some of {name!r} are not: {ADVICE}")
    return found


def fused_signs(outputs: Outputs) -> NDArray[np.int8]:
    """Return the signs (n, n_bits) of the sum of all modalities' outputs."""
    return sign(np.add.reduce(list(outputs.values())))
