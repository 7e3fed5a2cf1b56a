"""Time of the strategies S1 to S6 on one slice: from one stored embedding, and encoding the slice for each of them.

    python benchmarks/strategies_speed.py [--size 512] [--grid 32] [--threads 2] [--device cpu] [--no-sam]

Prints seconds and ratios as Markdown for the built-in model and for SAM ViT-B with random weights, measured in one run,
each strategy from start to end both ways. Random weights rate masks at random, so half of those that S1 asks ViT-B for
are taken to pass its limit of the predicted IoU.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from segment_anything import sam_model_registry

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import Candidates, Embedding, Segmenter
from napari_sam_med.evaluation.answers import SliceAsker, answer
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.inference.everything import EverythingSettings
from napari_sam_med.inference.session import Session
from napari_sam_med.inference.slices import SliceImage
from napari_sam_med.models import load_model
from napari_sam_med.models.sam import SamSegmenter
from napari_sam_med.prompts import STRATEGIES
from napari_sam_med.synth import random_slice

STRATEGY_NAMES = ("S1", "S2", "S3", "S4", "S5", "S6")


class HalfPassing(SamSegmenter):
    """SAM that keeps the better half of its masks wherever a least predicted IoU is asked for."""

    def decode_many(
        self, embedding: Embedding, prompts: Sequence[Prompt], min_score: float | None = None
    ) -> list[Candidates]:
        if min_score is not None:
            if not hasattr(self, "median"):
                sample = super().decode_many(embedding, prompts[:8])
                self.median = float(np.median(np.concatenate([found.scores for found in sample])))
            min_score = self.median
        return super().decode_many(embedding, prompts, min_score)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of `work`; with more than one repeat, after one that does not count."""
    if repeats > 1:
        work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure(
    model: Segmenter, image: np.ndarray, truth: np.ndarray, grid: int, repeats: int, repeats_anew: int
) -> dict[str, tuple[float, float]]:
    """Time of each strategy from the stored embedding, and with an encoding of its own, both from start to end."""
    pixels = SliceImage(image, (1.0, 1.0))
    config = EvaluationConfig(
        (model.name,), STRATEGY_NAMES, rules=("score",), everything=EverythingSettings(grid)
    )
    stored = Session(model)
    stored.embed(pixels)

    def ask(name: str, session: Session) -> object:
        asker = SliceAsker(pixels, session, config.everything)
        return answer(STRATEGIES.get(name), truth, np.random.default_rng(0), asker, config)

    times = {}
    for name in STRATEGY_NAMES:
        once = name == "S1"
        from_stored = seconds(lambda name=name: ask(name, stored), 1 if once else repeats)
        # a new session remembers nothing
        anew = seconds(lambda name=name: ask(name, Session(model)), 1 if once else repeats_anew)
        times[name] = (from_stored, anew)
        print(f"  {name}: {from_stored:.3f} s, {anew:.3f} s", file=sys.stderr, flush=True)
    return times


def show(title: str, times: dict[str, tuple[float, float]], grid: int) -> None:
    """One table."""
    groups = [(name,) for name in STRATEGY_NAMES] + [STRATEGY_NAMES[1:], STRATEGY_NAMES]
    print(f"\n{title}\n")
    print("| strategy | stored embedding (s) | encoding for each (s) | ratio |\n|---|---:|---:|---:|")
    for group in groups:
        stored, encoding = (sum(times[name][k] for name in group) for k in (0, 1))
        name = group[0] if len(group) == 1 else f"{group[0]} to {group[-1]}"
        name += f" (grid {grid} × {grid})" if group[0] == "S1" else ""
        print(f"| {name} | {stored:.3f} | {encoding:.3f} | {encoding / stored:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="rows and columns of the slice")
    parser.add_argument("--grid", type=int, default=32, help="points a side of S1")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-sam", action="store_true", help="leave out ViT-B, which takes minutes on a CPU")
    parser.add_argument("--no-builtin", action="store_true", help="leave out the built-in model")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    image, labels = random_slice(np.random.default_rng(0), options.size)
    values, counts = np.unique(labels[labels > 0], return_counts=True)
    truth = labels == values[counts.argmax()]
    print(f"One {options.size} × {options.size} slice on {options.device}, {options.threads} threads")
    if not options.no_builtin:
        builtin = load_model("builtin", options.device)
        times = measure(builtin, image, truth, options.grid, options.repeats, options.repeats)
        show("Built-in model", times, options.grid)
    if not options.no_sam:
        torch.manual_seed(0)
        sam = sam_model_registry["vit_b"]().eval().to(options.device)
        model = HalfPassing(sam, "vit_b", "random", "sam_vit_b", options.device)
        times = measure(model, image, truth, options.grid, options.repeats, 1)
        show("SAM ViT-B, random weights", times, options.grid)


if __name__ == "__main__":
    main()
