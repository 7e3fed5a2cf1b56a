"""Checkpoints from which a run goes on exactly where it stopped."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from napari_sam_med.core.errors import InputError
from napari_sam_med.finetune.config import TrainConfig

NAME = "checkpoint.pt"


def save_checkpoint(folder: Path, config: TrainConfig, state: dict[str, Any]) -> None:
    """Write step, weights, mean weights and optimiser through a temporary name."""
    draft = folder / (NAME + ".part")
    torch.save({**state, "config": json.dumps(config.as_dict())}, draft)
    os.replace(draft, folder / NAME)


def load_checkpoint(folder: Path, config: TrainConfig) -> dict[str, Any] | None:
    """The last checkpoint of a run folder, or None.

    Raises
    ------
    InputError
        If it was written with another configuration.
    """
    file = folder / NAME
    if not file.exists():
        return None
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    before, now = json.loads(state["config"]), config.as_dict()
    free = {
        "validate_every",
        "validation_slices",
        "checkpoint_every",
        "workers",
        "threads",
        "device",
        "pairs",
    }
    changed = [k for k in now if k not in free and before.get(k) != now[k]]
    if changed:
        raise InputError(
            f"The run in {folder.name} was started with other settings ({', '.join(changed)}); "
            "choose another output folder or restore the configuration."
        )
    return state
