"""Time to embed a slice and to answer a prompt: the built-in model, and SAM ViT-B with random weights, in one run.

    python benchmarks/model_speed.py [--size 512] [--repeats 15] [--threads 2] [--no-sam]

Prints medians in milliseconds and the ratio between the two models as Markdown. Times on a busy machine vary; the
ratio, measured side by side, varies less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from segment_anything import sam_model_registry

from napari_sam_med.core.prompt import Prompt
from napari_sam_med.core.result import Segmenter
from napari_sam_med.models import load_model
from napari_sam_med.models.sam import SamSegmenter
from napari_sam_med.synth import random_slice

PROMPTS = {
    "box": Prompt.from_box((200, 180, 290, 300)),
    "one point": Prompt.from_points([(240, 250)]),
    "box and 3 points": Prompt.from_box((200, 180, 290, 300)).with_points(
        [(240, 250), (210, 190), (280, 290)], [1, 0, 0]
    ),
}


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """Median time of `work` in ms, after one run that does not count."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def measure(model: Segmenter, image: np.ndarray, repeats: int) -> dict[str, float]:
    """Median time of each kind of work."""
    embedding = model.encode(image)
    scale = image.shape[0] / 512
    rows = {"encode a slice": median_ms(lambda: model.encode(image), repeats)}
    for name, prompt in PROMPTS.items():
        box = None if prompt.box is None else tuple(v * scale for v in prompt.box)
        scaled = Prompt(prompt.points * scale, prompt.labels, box)
        rows[f"decode: {name}"] = median_ms(lambda p=scaled: model.decode(embedding, p), repeats)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="rows and columns of the slice")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-sam", action="store_true", help="leave out ViT-B, which takes a minute")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    image, _ = random_slice(np.random.default_rng(0), options.size)
    ours = measure(load_model("builtin", "cpu"), image, options.repeats)
    stock: dict[str, float] = {}
    if not options.no_sam:
        torch.manual_seed(0)
        sam = sam_model_registry["vit_b"]().eval()
        stock = measure(
            SamSegmenter(sam, "vit_b", "random", "sam_vit_b"), image, max(3, options.repeats // 5)
        )
    print(f"One {options.size}×{options.size} slice, {options.threads} threads, medians in ms\n")
    print("| work | built-in | SAM ViT-B (random weights) | ratio |\n|---|---:|---:|---:|")
    for name, value in ours.items():
        other = stock.get(name)
        cells = ("not run", "") if other is None else (f"{other:.0f}", f"{other / value:.1f}")
        print(f"| {name} | {value:.1f} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
