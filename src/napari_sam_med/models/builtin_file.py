"""The weights file of the built-in model: fp16 safetensors with the network's widths in its header."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from napari_sam_med.core.errors import ModelError
from napari_sam_med.models.builtin_net import BuiltinConfig, BuiltinNet

FORMAT = "napari-sam-med-builtin-6"
"""Raised when older weights no longer fit the network."""
EARLIER = tuple(f"napari-sam-med-builtin-{number}" for number in range(2, 6))
"""Formats of weights with fewer prompt maps or facts, or other judges; training may go on from them."""


def save_weights(net: BuiltinNet, path: Path, notes: Mapping[str, str] | None = None) -> Path:
    """Write `net` as fp16 to `path`, through a temporary name."""
    tensors = {k: v.detach().cpu().to(torch.float16).contiguous() for k, v in net.state_dict().items()}
    header = {"format": FORMAT, "config": json.dumps(net.config.as_dict()), **(notes or {})}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_bytes(save(tensors, metadata=header))
    os.replace(draft, path)
    return path


def read_weights(path: Path, grow: bool = False) -> tuple[BuiltinNet, str]:
    """Read a network and the SHA-256 of its file.

    With `grow`, weights of the formats before are read too: maps that they do not know count nothing, and other judges
    begin anew.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or holds another kind of model.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") not in ((FORMAT, *EARLIER) if grow else (FORMAT,)):
                raise ModelError(
                    f"{path.name} is not a built-in model: expected the format {FORMAT}, found "
                    f"{header.get('format', 'none')}. Choose a file written by train-builtin or a SAM checkpoint."
                )
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        net = BuiltinNet(BuiltinConfig.from_dict(json.loads(header["config"])))
        if grow:
            tensors = {name: _grown(tensors.get(name, own), own) for name, own in net.state_dict().items()}
        net.load_state_dict(tensors)
    except FileNotFoundError:
        raise ModelError(
            f"The weights file {path.name} does not exist; reinstall or choose another file."
        ) from None
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path.name} cannot be read as a built-in model ({error}); choose another file."
        ) from None
    return net, digest


def _grown(weight: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """`weight` with zeros for further input channels of a convolution; `own` where it does not fit otherwise."""
    missing = own.shape[1] - weight.shape[1] if weight.ndim == own.ndim == 4 else 0
    weight = F.pad(weight, (0, 0, 0, 0, 0, missing)) if missing > 0 else weight
    return weight if weight.shape == own.shape else own
