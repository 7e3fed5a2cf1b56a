"""Configuration of a training run, read from a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from napari_sam_med.core.errors import InputError


@dataclass(frozen=True)
class TrainConfig:
    """How the built-in model is trained.

    Attributes
    ----------
    steps : int
        Optimiser steps of the whole run; the learning rate falls to zero over them.
    images : int
        Slices a step.
    prompts : int
        Objects prompted in each slice.
    size : int
        Rows and columns of a training slice, in pixels.
    grid : int
        Cells on a side of the region grid in training.
    fine_grid : int
        The same for the last `fine_share` of the steps.
    fine_share : float
        Share of the steps, at the end, that use `fine_grid`.
    second_share : float
        Share of the steps that also correct the first answer.
    learning_rate, weight_decay : float
        AdamW.
    warmup : int
        Steps over which the learning rate rises.
    ema : float
        Decay of the running mean of the weights; the mean is what is exported.
    seed : int
        Seed of data, prompts and weights.
    pairs : str
        Optional CSV of real pairs (id, split, image, label); its ``train`` rows are mixed in, and where the label is
        empty regions of like grey are the objects.
    samples : bool
        Whether the package's own labelled samples (ICBM152 brain, synthetic abdominal CT) count among the real pairs.
    real_share : float
        Share of real slices when there are any.
    clean_share : float
        Share of the real slices on which the network learns that are not distorted.
    recolour_share : float
        Share of its labelled real slices in which every tissue gets another grey.
    graft_share : float
        Share of its real slices into which procedural shapes are set as the objects.
    judge_slices : int
        Slices from whose answers the judge of the predicted IoU learns after the last step; 0 leaves it as it is.
    validate_every : int
        Steps between validations on fixed synthetic slices.
    validation_slices : int
        Number of those slices.
    checkpoint_every : int
        Steps between checkpoints.
    workers : int
        Processes that make slices, and that ask for what the judges learn from; 0 does it in the training process.
    threads : int
        CPU threads for torch; 0 leaves torch's own choice.
    device : str
        "auto", "cpu" or "cuda".
    bfloat16 : bool
        Compute in bfloat16 where it does no harm, on a CPU too; on CUDA always.
    init : str
        Optional weights file (safetensors) to start from.
    init_share : float
        Share of the weights of `init` in what is exported after the last step: the mean of the weights before and after
        further training does better on what neither has seen (Wortsman et al. 2022, WiSE-FT).
    encoder, decoder : tuple of int
        Widths, see ``models.builtin_net.BuiltinConfig``.
    features : int
        Channels of the embedding.
    """

    steps: int = 6000
    images: int = 4
    prompts: int = 8
    size: int = 256
    grid: int = 64
    fine_grid: int = 96
    fine_share: float = 0.3
    second_share: float = 1.0
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.01
    warmup: int = 100
    ema: float = 0.995
    seed: int = 0
    pairs: str = ""
    samples: bool = False
    real_share: float = 0.35
    clean_share: float = 0.0
    recolour_share: float = 0.0
    graft_share: float = 0.0
    judge_slices: int = 400
    validate_every: int = 250
    validation_slices: int = 32
    checkpoint_every: int = 100
    workers: int = 0
    threads: int = 0
    device: str = "auto"
    bfloat16: bool = False
    init: str = ""
    init_share: float = 0.0
    encoder: tuple[int, ...] = (24, 48, 96, 144, 192)
    decoder: tuple[int, ...] = (16, 40, 80, 144)
    features: int = 64

    def as_dict(self) -> dict[str, Any]:
        """Plain form for logs."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def read_config(path: str | Path, **changes: Any) -> TrainConfig:
    """Read a TOML file into a :class:`TrainConfig`.

    Raises
    ------
    InputError
        If the file is missing, is not TOML, or has unknown or wrongly typed keys.
    """
    file = Path(path)
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"The training configuration {file} does not exist; give the path of a TOML file."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The training configuration {file.name} is not valid TOML: {error}.") from None
    return make_config({**values, **changes}, file.name)


def make_config(values: dict[str, Any], where: str = "the configuration") -> TrainConfig:
    """Check keys and types, and build the configuration.

    Raises
    ------
    InputError
        If a key is unknown, a value has the wrong type, or there is an `init_share` of no `init`.
    """
    defaults = {f.name: f for f in fields(TrainConfig)}
    clean: dict[str, Any] = {}
    for key, value in values.items():
        if key not in defaults:
            raise InputError(f"{where} has the unknown key {key!r}; known keys are: {', '.join(defaults)}.")
        wanted = type(defaults[key].default)
        given = tuple(value) if wanted is tuple and isinstance(value, list) else value
        given = float(given) if wanted is float and isinstance(given, int) else given
        if not isinstance(given, wanted):
            raise InputError(f"{where}: {key} must be {wanted.__name__}; found {value!r}.")
        clean[key] = given
    config = TrainConfig(**clean)
    if config.init_share and not config.init:
        raise InputError(
            f"{where}: init_share is {config.init_share:g}, but there is no init to take a share of; "
            "name the weights file to start from, or leave init_share out."
        )
    return config
