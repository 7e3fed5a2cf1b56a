"""Predictions of scores that were opened from a file, which holds none: kept by the run, or asked for once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import require_same_grid
from napari_sam_med.core.result import Segmenter
from napari_sam_med.core.volume import AXES, Volume
from napari_sam_med.core.windowing import Window
from napari_sam_med.evaluation.again import answer_again
from napari_sam_med.evaluation.baselines import BASELINES, Baseline
from napari_sam_med.evaluation.config import shown_name
from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.gui.state import Workspace
from napari_sam_med.gui.widgets.evaluate_jobs import Job, ModelJob, PoolJob
from napari_sam_med.gui.widgets.evaluate_scores import MaskKey, MaskStore, Scores
from napari_sam_med.gui.widgets.evaluate_show import case_of, key_of, object_mask, object_name
from napari_sam_med.metrics.overlap import dice
from napari_sam_med.models import CATALOG, load_model
from napari_sam_med.models.weights import find

if TYPE_CHECKING:
    from napari_sam_med.evaluation.answers import Answer
    from napari_sam_med.inference.session import Session

_SAME_DICE = 0.005
"""The same answer, up to rounding of scores, windows and weights."""


@dataclass(frozen=True, eq=False)
class _Wanted:
    """What is asked once more, and for which answers it goes."""

    image: Volume
    truth: NDArray[np.bool_]
    row: ScoreRow
    key: MaskKey
    window: Window


class Recall(QObject):
    """Masks of rows from a file, as far as they are there; the rest is asked for, one row at a time.

    A newer request stops an older one. All masks are forgotten when other layers, or another window, are chosen.

    Parameters
    ----------
    viewer : napari.Viewer
    workspace : Workspace
        Whose model thread is used.

    Attributes
    ----------
    load_model : callable
        ``load_model(name, device) -> Segmenter``, called on the model's thread.
    """

    arrived = Signal()
    """The prediction that was asked for last is there."""
    failed = Signal(str)
    """Why it is not, in a sentence."""

    def __init__(self, viewer: Any, workspace: Workspace, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.load_model: Callable[[str, str], Segmenter] = load_model
        self._viewer = viewer
        self._workspace = workspace
        self._about: tuple[list[Any], tuple[float, ...]] = ([], ())
        self._masks: dict[str, MaskStore] = {}
        self._dices: dict[tuple[str, MaskKey], float] = {}
        self._session: tuple[str, Session] | None = None
        self._job: Job | None = None

    @property
    def busy(self) -> bool:
        """Whether a row is being asked for."""
        return self._job is not None

    def masks(self, scores: Scores, values: pd.Series) -> MaskStore:
        """Masks of the case of a row; the run's own one for this row among them, if it kept it."""
        self._look(scores)
        case = case_of(values)
        masks = self._masks.setdefault(case, MaskStore())
        truth = self._truth(scores, values)
        if truth is not None and masks.get(key_of(values)) is None:
            kept = scores.notes.kept(_row(values), (truth.shape[0], truth.shape[1]))
            if kept is not None:
                self._put(case, key_of(values), kept[0], kept[1], truth)
        return masks

    def doubt(self, values: pd.Series) -> str:
        """A sentence where the prediction that is shown is not the one that was scored; else ""."""
        found = self._dices.get((case_of(values), key_of(values)))
        if found is None or abs(found - float(values["dice"])) <= _SAME_DICE:
            return ""
        return (
            f"Asked once more, {key_of(values).model} comes to a Dice of {found:.3f}: the model, its settings or the "
            "chosen layers are not those of the file."
        )

    def ask(self, scores: Scores, values: pd.Series) -> str:
        """Ask for the prediction of a row; :attr:`arrived` or :attr:`failed` follows.

        Returns
        -------
        str
            What is being done, in a few words.

        Raises
        ------
        InputError
            If it cannot be asked for; the sentence says why.
        """
        self.stop()
        wanted = self._wanted(scores, values)
        notes, key = scores.notes, wanted.key

        def again(asked: Session | Baseline) -> Answer:
            return answer_again(wanted.image, wanted.truth, wanted.row, notes, asked, wanted.window)

        if key.model in BASELINES:
            self._begin(PoolJob(lambda: iter([again(BASELINES.get(key.model))]), self), wanted)
            return f"Asking {key.model} once more…"
        name = self._name_of(key.model)
        self._workspace.ensure_model(name)
        in_use = self._workspace.model_request == name
        device = self._workspace.settings.device

        def steps(session: Session) -> Iterator[object]:
            yield again(session if in_use else self._other(name, device, session))

        self._begin(ModelJob(self._workspace, steps, self), wanted)
        return f"Asking {key.model} once more…"

    def stop(self) -> None:
        """Let go of what is being asked; its answer is not told."""
        job, self._job = self._job, None
        if job is not None:
            job.cancel()

    def clear(self) -> None:
        """Forget all masks."""
        self.stop()
        self._masks, self._dices = {}, {}
        self._about = ([], ())

    # ---- what is asked

    def _look(self, scores: Scores) -> None:
        """Forget the masks of other layers and windows."""
        layers = [layer for layer in (scores.image, scores.truth) if layer is not None]
        things = [scores.notes, *(self._workspace.volume_of(layer) for layer in layers)]
        limits = () if scores.image is None else tuple(float(v) for v in scores.image.contrast_limits)
        before, limits_before = self._about
        same = len(things) == len(before) and all(a is b for a, b in zip(things, before, strict=True))
        if not (same and limits == limits_before):
            self.clear()
            self._about = (things, limits)

    def _truth(self, scores: Scores, values: pd.Series) -> NDArray[np.bool_] | None:
        unite = scores.notes.unites(case_of(values))
        return object_mask(self._viewer, self._workspace, scores.truth, key_of(values), unite)

    def _wanted(self, scores: Scores, values: pd.Series) -> _Wanted:
        key = key_of(values)
        if scores.from_compare or not (key.model and key.strategy and key.rule):
            raise InputError("The file does not hold the mask that was compared, only its scores.")
        truth = self._truth(scores, values)
        if scores.image is None or truth is None:
            raise InputError(
                "Choose the image and the truth of these scores above, and the prediction is made again."
            )
        image = self._workspace.volume_of(scores.image)
        require_same_grid(image, self._workspace.volume_of(scores.truth))
        window = Window.from_limits(*scores.image.contrast_limits)
        return _Wanted(image, truth, _row(values), key, window)

    def _name_of(self, model: str) -> str:
        """What to load for a model of a table: the one in use, or one whose weights are here."""
        if shown_name(self._workspace.model_request) == model:
            return self._workspace.model_request
        if model in CATALOG and (CATALOG.get(model).bundled or find(CATALOG.get(model)) is not None):
            return model
        raise InputError(
            f"The file holds no predictions, and {model} is not here to be asked again; load it in the Segment panel."
        )

    def _other(self, name: str, device: str, session: Session) -> Session:
        """The session of a model that is not in use, on the model's thread; the last one is kept."""
        from napari_sam_med.inference.session import Session as AnySession

        if self._session is None or self._session[0] != name:
            self._session = (name, AnySession(self.load_model(name, device), session.cache))
        return self._session[1]

    # ---- the answer

    def _begin(self, job: Job, wanted: _Wanted) -> None:
        self._job = job
        job.item.connect(lambda found: self._on_answer(job, wanted, found))
        job.failed.connect(lambda text: self._on_failed(job, text))
        for ended in (job.done, job.cancelled, job.failed):
            ended.connect(lambda *_: job.deleteLater())
        job.start()

    def _on_answer(self, job: Job, wanted: _Wanted, found: Answer) -> None:
        if job is self._job:
            self._job = None
            self._put(wanted.row.case, wanted.key, found.mask, found.prompts, wanted.truth)
            self.arrived.emit()

    def _on_failed(self, job: Job, text: str) -> None:
        if job is self._job:
            self._job = None
            self.failed.emit(text)

    def _put(
        self,
        case: str,
        key: MaskKey,
        mask: NDArray[np.bool_],
        prompts: Any,
        truth: NDArray[np.bool_],
    ) -> None:
        self._masks.setdefault(case, MaskStore()).put(key, mask, prompts)
        sizes = (int(np.count_nonzero(each)) for each in (mask, truth, mask & truth))
        self._dices[case, key] = dice(*sizes)


def _row(values: pd.Series) -> ScoreRow:
    """The row of a table as the engine names it."""
    key = key_of(values)
    where = (AXES[key.axis], key.slice, key.label, object_name(values))
    return ScoreRow(case_of(values), *where, key.model, key.strategy, key.rule)
