"""Training of the built-in model: seeded, resumable, on a CPU or with mixed precision on CUDA."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.folders import make_folder
from napari_sam_med.finetune.asking import Verdicts, collect
from napari_sam_med.finetune.checkpoint import load_checkpoint, save_checkpoint
from napari_sam_med.finetune.config import TrainConfig
from napari_sam_med.finetune.curves import draw_curves
from napari_sam_med.finetune.data import SampleStream, sample_at
from napari_sam_med.finetune.judging import calibrate, train_judges
from napari_sam_med.finetune.passes import Batch, collate, two_looks
from napari_sam_med.finetune.real import RealSlice, load_real_slices, sample_cases
from napari_sam_med.finetune.samples import Sample
from napari_sam_med.models.builtin_file import read_weights, save_weights
from napari_sam_med.models.builtin_net import BuiltinConfig, BuiltinNet
from napari_sam_med.models.no_triton import without_triton

LOG_COLUMNS = ("step", "seconds", "learning_rate", "loss", "iou_box", "iou_point", "iou_second", "iou_error")
VALIDATION_SEED = 977_131
LOG_EVERY = 20
WEIGHTS = "builtin.safetensors"


@dataclass(frozen=True)
class Progress:
    """One line of a run's story: means over the steps since the last one.

    Attributes
    ----------
    step, steps : int
        Steps done and steps in all.
    seconds : float
        Wall time of this sitting.
    figures : dict
        Loss and IoU figures, see ``LOG_COLUMNS``.
    validation : dict or None
        The same figures on the fixed validation slices, when they were measured at this step.
    """

    step: int
    steps: int
    seconds: float
    figures: dict[str, float]
    validation: dict[str, float] | None = None


@dataclass
class _Run:
    config: TrainConfig
    net: BuiltinNet
    mean: BuiltinNet
    optimizer: torch.optim.Optimizer
    device: torch.device
    step: int = 0
    mixed: bool = False
    """Whether the exported weights hold their share of the first ones."""
    judged: bool = False


def train(
    config: TrainConfig, folder: str | Path, stop: Callable[[], bool] | None = None
) -> Iterator[Progress]:
    """Train, yielding progress; the folder gets a checkpoint, log.csv, curves.png and ``builtin.safetensors``.

    After the last step the judge learns from the network's own answers.

    Parameters
    ----------
    config : TrainConfig
        The run's settings. A folder with a checkpoint of the same settings is resumed.
    folder : path
        Output folder, made when missing.
    stop : callable, optional
        Asked after every step; when it says True the run saves a checkpoint and ends early.

    Raises
    ------
    InputError
        If the folder holds a run with other settings, or the pairs cannot be read.
    OutputError
        If the folder cannot be made.
    """
    out = make_folder(Path(folder))
    if config.threads:
        torch.set_num_threads(config.threads)
    cases = load_real_slices(Path(config.pairs)) if config.pairs else []
    real = _flatten([*cases, *(sample_cases() if config.samples else [])])
    run = _start(config, out)
    validation = _validation_batches(config, run.device)
    began, recent = time.monotonic(), []
    for samples in _loader(config, run.step, real):
        if run.step >= config.steps or (stop is not None and stop()):
            break
        recent.append(_train_step(run, samples))
        run.step += 1
        last = run.step >= config.steps
        due = last or run.step % config.validate_every == 0
        if due or run.step % LOG_EVERY == 0:
            figures = {k: _mean(r[k] for r in recent) for k in recent[0]}
            recent = []
            scores = validate(run.mean, validation, config) if due else None
            _log(out, run, time.monotonic() - began, figures, scores)
            yield Progress(run.step, config.steps, time.monotonic() - began, figures, scores)
        if run.step % config.checkpoint_every == 0 or last:
            _save(out, run)
    if run.step >= config.steps and config.init and config.init_share and not run.mixed:
        _follow(run.mean, _first(config).to(run.device), 1 - config.init_share)
        run.mixed = True
    _save(out, run)
    if run.step:
        draw_curves(out / "log.csv", out / "validation.csv", out / "curves.png")
    if run.step >= config.steps and config.judge_slices and not run.judged:
        yield from _judge(run, out, real, stop, began)


def _judge(
    run: _Run, out: Path, real: list[RealSlice], stop: Callable[[], bool] | None, began: float
) -> Iterator[Progress]:
    """Train the judge on answers of the finished network; stopped half-way, it begins anew the next time."""
    config = run.config
    net = run.mean.eval()
    verdicts: list[Verdicts] = []

    def answers(slices: int, exact: bool) -> Iterator[list[Verdicts]]:
        return collect(
            net, slices, config.seed, config.size, real, config.real_share, stop, exact, config.workers
        )

    for number, each in enumerate(answers(config.judge_slices, exact=False), 1):
        verdicts += each
        if number % LOG_EVERY == 0:
            figures = {"judged slices": float(number)}
            yield Progress(config.steps, config.steps, time.monotonic() - began, figures)
    exact = [each for some in answers(config.judge_slices // 3, exact=True) for each in some]
    if stop is not None and stop():
        return
    verdicts += exact
    errors = train_judges(net, verdicts, config.seed)
    shifts = calibrate(net, exact, verdicts)
    run.judged = True
    _save(out, run)
    figures = {
        "judged answers": float(len(verdicts)),
        **{f"error of predicted IoU, {name}": error for name, error in errors.items()},
        **{f"shift of the logits, {name}": shift for name, shift in shifts.items()},
    }
    _append(out / "judge.csv", tuple(figures), figures)
    yield Progress(config.steps, config.steps, time.monotonic() - began, figures, figures)


def validate(net: BuiltinNet, batches: list[Batch], config: TrainConfig) -> dict[str, float]:
    """Figures on fixed synthetic slices that training never sees."""
    net.eval()
    with torch.no_grad():
        rows = [two_looks(net, b, config.grid, np.random.default_rng(5))[1] for b in batches]
    return {k: _mean(r[k] for r in rows) for k in rows[0]}


def _mean(values: Iterable[float]) -> float:
    """Mean of the values that are not NaN; NaN where there are none."""
    known = [v for v in values if not math.isnan(v)]
    return float(np.mean(known)) if known else math.nan


def _start(config: TrainConfig, out: Path) -> _Run:
    torch.manual_seed(config.seed)
    name = config.device if config.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "The configuration asks for CUDA, but torch finds no CUDA device; use device = 'auto'."
        )
    device = torch.device(name)
    widths = BuiltinConfig(config.encoder, config.features, config.decoder, config.fine_grid)
    net = BuiltinNet(widths)
    if config.init:
        net.load_state_dict(_first(config).state_dict())
    mean = BuiltinNet(widths)
    mean.load_state_dict(net.state_dict())
    net.to(device)
    mean.to(device).requires_grad_(False)
    with without_triton():
        optimizer = torch.optim.AdamW(
            net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
    run = _Run(config, net, mean, optimizer, device)
    state = load_checkpoint(out, config)
    if state is not None:
        net.load_state_dict(state["net"])
        mean.load_state_dict(state["mean"])
        optimizer.load_state_dict(state["optimizer"])
        run.step = int(state["step"])
        run.mixed = bool(state.get("mixed", False))
        run.judged = bool(state.get("judged", False))
    return run


def _first(config: TrainConfig) -> BuiltinNet:
    """The network that the run starts from."""
    return read_weights(Path(config.init), grow=True)[0]


def _train_step(run: _Run, samples: list[Sample]) -> dict[str, float]:
    config = run.config
    rate = learning_rate(config, run.step)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    fine = run.step >= config.steps * (1 - config.fine_share)
    grid = config.fine_grid if fine else config.grid
    rng = np.random.default_rng([config.seed, 1, run.step])
    second = float(rng.random()) < config.second_share
    run.net.train()
    with torch.autocast(
        run.device.type, torch.bfloat16, enabled=config.bfloat16 or run.device.type == "cuda"
    ):
        loss, figures = two_looks(run.net, collate(samples, grid, run.device), grid, rng, second)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(run.net.parameters(), 1.0)
    if torch.isfinite(norm):
        run.optimizer.step()
    _follow(run.mean, run.net, min(config.ema, (run.step + 1) / (run.step + 10)))
    return {**figures, "learning_rate": rate}


@torch.no_grad()
def _follow(mean: BuiltinNet, net: BuiltinNet, decay: float) -> None:
    pairs = zip(mean.parameters(), net.parameters(), strict=True)
    for slow, fast in pairs:
        slow.lerp_(_plain(fast), 1 - decay)


def _plain(parameter: Tensor) -> Tensor:
    return parameter.detach()


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear rise over the warm-up, then a half cosine down to zero."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _loader(config: TrainConfig, start: int, real: list[RealSlice]) -> Any:
    stream = SampleStream(
        config.seed,
        config.images,
        config.size,
        config.prompts,
        start,
        real,
        config.real_share,
        config.clean_share,
        config.recolour_share,
        config.graft_share,
    )
    return DataLoader(
        stream,
        batch_size=None,
        num_workers=config.workers,
        prefetch_factor=4 if config.workers else None,
        persistent_workers=False,
    )


def _validation_batches(config: TrainConfig, device: torch.device) -> list[Batch]:
    samples = [
        sample_at(i, VALIDATION_SEED, config.size, config.prompts) for i in range(config.validation_slices)
    ]
    return [collate(samples[i : i + 4], config.grid, device) for i in range(0, len(samples), 4)]


def _flatten(cases: list[list[RealSlice]]) -> list[RealSlice]:
    """All slices in one list, small cases repeated, so that a case counts with the square root of its size."""
    most = max((len(c) for c in cases), default=0)
    return [s for case in cases for s in case * max(1, round(math.sqrt(most / len(case))))]


def _save(out: Path, run: _Run) -> None:
    save_checkpoint(
        out,
        run.config,
        {
            "step": run.step,
            "mixed": run.mixed,
            "judged": run.judged,
            "net": run.net.state_dict(),
            "mean": run.mean.state_dict(),
            "optimizer": run.optimizer.state_dict(),
        },
    )
    save_weights(run.mean, out / WEIGHTS, {"steps": str(run.step), "seed": str(run.config.seed)})


def _log(
    out: Path, run: _Run, seconds: float, figures: dict[str, float], scores: dict[str, float] | None
) -> None:
    _append(out / "log.csv", LOG_COLUMNS, {"step": run.step, "seconds": round(seconds, 1), **figures})
    if scores is not None:
        _append(out / "validation.csv", ("step", *scores), {"step": run.step, **scores})


def _append(file: Path, columns: tuple[str, ...], row: dict[str, Any]) -> None:
    new = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        if new:
            writer.writerow(columns)
        writer.writerow([f"{row[c]:.6g}" for c in columns])
