"""The stream of training samples: procedural slices, mixed with real ones where there are any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from napari_sam_med.finetune.augment import augment
from napari_sam_med.finetune.real import RealSlice
from napari_sam_med.finetune.samples import Sample, make_sample
from napari_sam_med.finetune.targets import grey_regions, whole_body
from napari_sam_med.synth import random_slice

REGION_SHARE = 0.3
"""Share of the labelled real slices whose objects are regions of similar grey all the same."""


def sample_at(
    index: int,
    seed: int,
    size: int,
    prompts: int,
    real: Sequence[RealSlice] = (),
    real_share: float = 0.0,
    clean_share: float = 0.0,
    region_share: float = REGION_SHARE,
    recolour_share: float = 0.0,
    bodies: bool = False,
    graft_share: float = 0.0,
) -> Sample:
    """The sample number `index` of the stream with this seed; the same numbers give the same sample.

    In a `region_share` of the real slices, and in those without labels, the objects are regions of similar grey, or
    with `bodies` the whole body. A `clean_share` of the real slices is not distorted; in a `recolour_share` of the
    labelled ones tissues get other greys. In a `graft_share` procedural shapes set into the slice are the objects.
    """
    rng = np.random.default_rng([seed, index])
    while True:
        unite, source = True, ""
        if real and rng.random() < real_share:
            chosen = real[int(rng.integers(len(real)))]
            source = chosen.group
            grafts = graft_share > 0 and bool(rng.random() < graft_share)
            image, labels = augment(rng, chosen, size, clean_share, recolour_share, grafts)
            if grafts:
                unite = False
            elif rng.random() < region_share or not chosen.labels.any():
                labels, unite = whole_body(image) if bodies else grey_regions(rng, image), False
        else:
            image, labels = random_slice(rng, size)
        sample = make_sample(rng, image, labels, prompts, unite)
        if sample is not None:
            return replace(sample, source=source)


class SampleStream(IterableDataset[list[Sample]]):
    """Endless batches of samples, from batch `start` on, the same for any number of workers."""

    def __init__(
        self,
        seed: int,
        batch: int,
        size: int,
        prompts: int,
        start: int = 0,
        real: Sequence[RealSlice] = (),
        real_share: float = 0.0,
        clean_share: float = 0.0,
        recolour_share: float = 0.0,
        graft_share: float = 0.0,
    ) -> None:
        self.seed, self.batch, self.size, self.prompts, self.start = seed, batch, size, prompts, start
        self.real, self.real_share, self.clean_share = real, real_share, clean_share
        self.recolour_share, self.graft_share = recolour_share, graft_share

    def __iter__(self) -> Iterator[list[Sample]]:
        worker = get_worker_info()
        step, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        number = self.start + step
        while True:
            yield [
                sample_at(
                    number * self.batch + i,
                    self.seed,
                    self.size,
                    self.prompts,
                    self.real,
                    self.real_share,
                    self.clean_share,
                    recolour_share=self.recolour_share,
                    graft_share=self.graft_share,
                )
                for i in range(self.batch)
            ]
            number += stride
