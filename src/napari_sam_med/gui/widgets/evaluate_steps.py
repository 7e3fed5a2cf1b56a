"""What the jobs of the Evaluate panel do, item by item."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.result import Segmenter
from napari_sam_med.core.volume import Volume
from napari_sam_med.core.windowing import Window
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.robustness_config import RobustnessConfig
from napari_sam_med.factors import FactorInput, compute_factors
from napari_sam_med.gui.widgets.evaluate_jobs import Planned, only_slice
from napari_sam_med.inference.slices import slice_image

if TYPE_CHECKING:
    from napari_sam_med.inference.session import Session


def simulation_steps(
    image: Volume,
    truth: Volume,
    config: EvaluationConfig,
    jitter: RobustnessConfig | None,
    only: int | None,
    in_use: str,
    load: Callable[[str], Segmenter],
) -> Callable[[Session], Iterator[object]]:
    """Simulated prompts on one image, for a ``ModelJob``: a :class:`Planned`, score rows with masks, then jitter rows.

    Parameters
    ----------
    image, truth : Volume
        On one grid.
    config : EvaluationConfig
        With one axis.
    jitter : RobustnessConfig, optional
        How prompts are moved besides.
    only : int, optional
        Score this slice alone.
    in_use : str
        The model of `config` that is the session's own.
    load : callable
        ``load(name) -> Segmenter`` for the others, called on the model's thread; they live as long as the job.
    """

    def steps(session: Session) -> Iterator[object]:
        from napari_sam_med.evaluation.plan import plan_pair
        from napari_sam_med.evaluation.robustness import iter_pair_robustness
        from napari_sam_med.evaluation.runner import iter_pair_scores
        from napari_sam_med.inference.session import Session as AnySession

        sessions = {in_use: session}

        def session_for(name: str) -> Session:
            if name not in sessions:
                sessions[name] = AnySession(load(name), session.cache)
            return sessions[name]

        plan = plan_pair(image, truth, config)
        if only is not None:
            plan = only_slice(plan, only)
        n_objects = sum(len(target.labels) for target in plan.targets)
        yield Planned(plan.n_rows + (jitter.n_rows(n_objects) if jitter else 0))
        yield from iter_pair_scores(image, truth, config, session_for, plan=plan, keep_masks=True)
        if jitter is not None:
            yield from iter_pair_robustness(image, truth, jitter, session_for, plan=plan)

    return steps


def comparison_steps(
    prediction: Volume, truth: Volume, image: Volume | None, window: Window | None, axis: int
) -> Callable[[], Iterator[object]]:
    """A prediction against the truth, for a :class:`PoolJob`: a :class:`Planned`, then rows with factors.

    Parameters
    ----------
    prediction, truth : Volume
        On one grid.
    image : Volume, optional
        On the same grid; slices with truth get the factors of the object, measured through `window`.
    window : Window, optional
        Grey window of the image; needed with one.
    axis : int
        Slice axis.
    """

    def steps() -> Iterator[object]:
        from napari_sam_med.evaluation.compare import iter_comparison
        from napari_sam_med.evaluation.labels import label_array, label_boxes

        expected = label_array(truth)
        boxes = label_boxes(expected)
        yield Planned(sum(box[axis].stop - box[axis].start + 1 for box in boxes.values()) + 1)
        for each in iter_comparison(prediction, truth, axis=axis):
            case = image.name if image is not None else truth.name
            if (
                each["level"] == "slice"
                and image is not None
                and window is not None
                and each["label"] in boxes
            ):
                mask = np.take(expected, each["slice"], axis) == each["label"]
                span = boxes[each["label"]][axis]
                each |= _factors(image, window, axis, each["slice"], mask, (span.start, span.stop - 1))
            yield {"case": case, **each}

    return steps


def _factors(
    image: Volume, window: Window, axis: int, index: int, mask: NDArray[np.bool_], extent: tuple[int, int]
) -> dict[str, float]:
    if not mask.any():
        return {}
    pixels = slice_image(image, axis, index, window)
    between = image.spacing_mm[axis]
    return compute_factors(FactorInput(pixels.pixels, mask, pixels.spacing_mm, index, extent, between))
