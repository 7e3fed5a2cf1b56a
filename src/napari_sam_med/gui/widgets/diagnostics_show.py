"""One row of scores in the viewer, with its prediction, which for a file of scores may have to be made again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
from qtpy.QtCore import QObject, Signal

from napari_sam_med.core.errors import SamMedError
from napari_sam_med.gui.state import Workspace
from napari_sam_med.gui.widgets.diagnostics_overlay import FailureView
from napari_sam_med.gui.widgets.diagnostics_recall import Recall
from napari_sam_med.gui.widgets.evaluate_scores import Scores
from napari_sam_med.gui.widgets.evaluate_show import show_score

_GONE = "The prediction is not in the viewer any more."


class RowInViewer(QObject):
    """Shows a row, says what is shown, and shows it again when its prediction comes.

    Parameters
    ----------
    viewer : napari.Viewer
    workspace : Workspace
    failure : FailureView
    """

    said = Signal(str, bool, str)
    """A sentence, whether it tells of a problem, and the text of a button for :meth:`cancel`."""
    shown = Signal(int)
    """Position of the row that is on screen now."""

    def __init__(
        self, viewer: Any, workspace: Workspace, failure: FailureView, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._workspace = workspace
        self._failure = failure
        self._last: tuple[Scores, pd.Series, int] | None = None
        self.recall = Recall(viewer, workspace, self)
        self.recall.arrived.connect(self._show_last)
        self.recall.failed.connect(lambda text: self.said.emit(text, True, ""))

    def show(self, scores: Scores, values: pd.Series, position: int) -> None:
        """Go to the slice of a row; of a file's row ask for the prediction if it is not at hand."""
        self.recall.stop()
        self._last = (scores, values, position)
        try:
            if scores.from_file:
                scores = replace(scores, masks=self.recall.masks(scores, values))
            found = show_score(self._viewer, self._workspace, self._failure, scores, values)
        except SamMedError as error:
            self.said.emit(str(error), True, "")
            return
        if not found.lacking:
            doubt = self.recall.doubt(values) if scores.from_file else ""
            self.said.emit(f"{found.text} {doubt}".rstrip(), bool(doubt), "")
        elif not scores.from_file:
            self.said.emit(f"{found.text} {_GONE}", False, "")
        else:
            self._ask(scores, values, found.text)
        self.shown.emit(position)

    def hide(self) -> None:
        """Take the row off the screen."""
        if self.recall.busy:
            self.cancel()
        self._last = None
        self._failure.clear()

    def forget(self) -> None:
        """Other scores are looked at: what belongs to those before goes."""
        self._last = None
        self.recall.clear()

    def cancel(self) -> None:
        """Do without the prediction that is asked for."""
        self.recall.stop()
        self.said.emit("Cancelled; the slice and its truth are shown, without the prediction.", False, "")

    def _ask(self, scores: Scores, values: pd.Series, text: str) -> None:
        try:
            self.said.emit(f"{text} {self.recall.ask(scores, values)}", False, "Cancel")
        except SamMedError as error:
            self.said.emit(f"{text} {error}", False, "")

    def _show_last(self) -> None:
        if self._last is not None:
            self.show(*self._last)
