"""Panel "Evaluate": how well a prediction, or the model with simulated prompts, fits the truth."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_sam_med.core.errors import GridMismatchError, InputError, SamMedError
from napari_sam_med.core.geometry import require_same_grid, resample_labels
from napari_sam_med.core.volume import Volume, axis_number
from napari_sam_med.core.windowing import Window
from napari_sam_med.evaluation.labels import label_array, label_boxes
from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.evaluation.table import rows_to_table
from napari_sam_med.gui.layers import add_labels, slice_position
from napari_sam_med.gui.state import Workspace, workspace_for
from napari_sam_med.gui.widgets.diagnostics_overlay import failure_view
from napari_sam_med.gui.widgets.evaluate_controls import LayerChooser, MessageStrip, ScrollPanel, row
from napari_sam_med.gui.widgets.evaluate_form import CURRENT, EvaluateForm
from napari_sam_med.gui.widgets.evaluate_jobs import (
    Job,
    ModelJob,
    PoolJob,
    Progress,
    comparison_steps,
    simulation_steps,
)
from napari_sam_med.gui.widgets.evaluate_results import ResultsView
from napari_sam_med.gui.widgets.evaluate_scores import MaskKey, MaskStore, Scores, board_of
from napari_sam_med.gui.widgets.evaluate_show import show_score
from napari_sam_med.gui.widgets.evaluate_tables import (
    comparison_levels,
    comparison_summary,
    simulation_levels,
    simulation_summary,
)
from napari_sam_med.gui.widgets.following import follow

_REFRESH_MS = 400
_EMPTY = (
    "Choose an image and its truth, then compare a prediction with the truth, or let the model answer simulated "
    "prompts. The scores appear here and in the Diagnostics panel."
)


class EvaluatePanel(QWidget):
    """Scores against the truth; see the module.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Offers its layers and shows the slices of chosen rows.
    """

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._workspace = workspace_for(viewer)
        self._workspace.attach(self)
        self._board = board_of(self._workspace)
        self._mismatched: LayerChooser | None = None
        self._job: Job | None = None
        self._listing: Job | None = None
        self._rows: list[Any] = []
        self._masks = MaskStore()
        self._progress = Progress()
        self._kind = ""
        self._scores: Scores | None = None
        self.failure = failure_view(viewer)
        self._build()
        self._refresh = QTimer(self)
        self._refresh.setInterval(_REFRESH_MS)
        self._refresh.timeout.connect(self._show_rows)
        follow(self, self._workspace.model_changed, self._on_model)
        self._on_model(self._workspace.model)
        self._on_layers()
        self._choose_plane()
        self._list_labels()

    def _build(self) -> None:
        self.form = EvaluateForm(self._viewer)
        self.form.compare_asked.connect(self.compare)
        self.form.simulate_asked.connect(self.simulate)
        self.form.truth.layer_changed.connect(self._list_labels)
        self.form.image.layer_changed.connect(self._choose_plane)
        self.form.layers_changed.connect(self._on_layers)
        self.message = MessageStrip()
        self.message.button.setToolTip(
            "Add a copy of the labels on the grid of the image (nearest neighbour)."
        )
        self.message.button.clicked.connect(self._resample)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setToolTip("How far the work is.")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop after the present row; the rows so far are kept.")
        self.cancel_button.clicked.connect(self.cancel)
        self.results = ResultsView()
        self.results.row_chosen.connect(self._on_row)
        self.results.said.connect(lambda text, problem: self.message.say(text, problem=problem))
        scroll = ScrollPanel(self)
        scroll.column.addWidget(self.form)
        scroll.column.addLayout(row(self.bar, self.cancel_button, stretch=0))
        scroll.column.addWidget(self.message)
        scroll.column.addWidget(self.results, 1)
        # without results the rest stays at the top; with them the table takes the room
        scroll.column.addStretch(0)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.results.hide()
        self._set_busy(False)
        self.message.say(_EMPTY)

    @property
    def busy(self) -> bool:
        """Whether a job is at work."""
        return self._job is not None

    @property
    def workspace(self) -> Workspace:
        """What the panels of this viewer share."""
        return self._workspace

    @property
    def scores(self) -> Scores | None:
        """The last scores by slice, as handed to the Diagnostics panel."""
        return self._scores

    # ---- the two jobs

    def compare(self) -> None:
        """Compare the chosen prediction with the truth; answers appear in the table."""
        try:
            image, prediction, truth = self._volumes(self.form.image, self.form.prediction, self.form.truth)
        except SamMedError as error:
            self._refuse(error)
            return
        if self.form.prediction.layer is self.form.truth.layer:
            self.message.say(
                "Prediction and truth are the same layer; choose two different layers.", problem=True
            )
            return
        window = Window.from_limits(*self.form.image.layer.contrast_limits)
        steps = comparison_steps(prediction, truth, image, window, self.form.axis)
        self._begin("compare", PoolJob(steps, self), self.form.prediction.layer)

    def simulate(self) -> None:
        """Let the model answer prompts made from the truth; answers appear in the table."""
        try:
            image, truth = self._volumes(self.form.image, self.form.truth)
            window = Window.from_limits(*self.form.image.layer.contrast_limits)
            only = self._slice_on_screen() if self.form.slices.currentData() == CURRENT else None
            self._workspace.ensure_model()
            config = self.form.config(self._workspace.model_request, window)
        except SamMedError as error:
            self._refuse(error)
            return
        job = ModelJob(self._workspace, simulation_steps(image, truth, config, only), self)
        self._begin("simulate", job, None)

    def cancel(self) -> None:
        """Stop; the rows so far are kept."""
        if self._job is not None:
            self.cancel_button.setEnabled(False)
            self._job.cancel()

    def _begin(self, kind: str, job: Job, prediction: Any) -> None:
        self._kind, self._job = kind, job
        self._rows, self._masks, self._progress = [], MaskStore(), Progress()
        self._layers = (self.form.image.layer, self.form.truth.layer, prediction)
        job.planned.connect(self._progress.plan)
        job.item.connect(self._on_item)
        job.done.connect(lambda: self._end(""))
        job.cancelled.connect(lambda: self._end("Cancelled; the rows so far are kept."))
        job.failed.connect(lambda text: self._end(text, problem=True))
        self._set_busy(True)
        self.failure.clear()
        self.message.say("Preparing…")
        self._refresh.start()
        job.start()

    def _on_item(self, value: Any) -> None:
        if isinstance(value, ScoreRow) and value.mask is not None:
            place = (axis_number(value.axis), int(value.slice or 0), int(value.label or 0))
            key = MaskKey(value.model, value.strategy, value.rule, *place)
            self._masks.put(key, value.mask, value.prompts)
            value = replace(value, mask=None)
        self._rows.append(value)
        self._progress.step()

    def _end(self, text: str, problem: bool = False) -> None:
        self._refresh.stop()
        job, self._job = self._job, None
        self._set_busy(False)
        self._show_rows()
        self.results.table.fit_columns()
        if self._scores is not None and self._rows:
            self._board.publish(self._scores)
        self.message.say(text, problem=problem)
        if job is not None:
            job.deleteLater()

    # ---- the table

    def _show_rows(self) -> None:
        if self.busy:
            self.bar.setRange(0, self._progress.total)
            self.bar.setValue(min(self._progress.count, self._progress.total))
            self.message.say(self._progress.text("rows"))
        if not self._rows:
            return
        started = time.perf_counter()
        if self._kind == "compare":
            levels = comparison_levels(self._rows)
            summary = comparison_summary(levels)
        else:
            table = rows_to_table(self._rows)
            levels, summary = simulation_levels(table), simulation_summary(table)
        self.results.set_levels(levels, summary)
        self.results.show()
        image, truth, prediction = self._layers
        what = prediction.name if prediction is not None else "simulated prompts"
        source = f"{what} against {truth.name}"
        self._scores = Scores(levels[0].frame, source, image, truth, prediction, self._masks)
        # a long table takes a while to make: leave the window ten times as long in between
        spent_ms = 1000 * (time.perf_counter() - started)
        self._refresh.setInterval(max(_REFRESH_MS, round(10 * spent_ms)))

    def _on_row(self, level: str, position: int) -> None:
        if level != "Slices" or self._scores is None:
            return
        try:
            values = self._scores.frame.iloc[position]
            text = show_score(self._viewer, self._workspace, self.failure, self._scores, values)
        except SamMedError as error:
            self.message.say(str(error), problem=True)
        else:
            if not self.busy:
                self.message.say(text)

    # ---- layers

    def _volumes(self, image: LayerChooser, *labels: LayerChooser) -> list[Volume]:
        """Volumes of the chosen layers, all on the grid of the image."""
        found = []
        for chooser, what in ((image, "an image"), *((c, "label layers") for c in labels)):
            if chooser.layer is None:
                raise InputError(f"Choose {what} first; open a file or add a layer if the list is empty.")
            found.append(self._workspace.volume_of(chooser.layer))
        for chooser, volume in zip(labels, found[1:], strict=True):
            try:
                require_same_grid(found[0], volume)
            except GridMismatchError:
                self._mismatched = chooser
                raise
        return found

    def _refuse(self, error: SamMedError) -> None:
        button = ""
        if isinstance(error, GridMismatchError) and self._mismatched is not None:
            what = "truth" if self._mismatched is self.form.truth else "prediction"
            button = f"Resample {what} to the image"
        self.message.say(str(error), problem=True, button=button)

    def _resample(self) -> None:
        chooser, image = self._mismatched, self.form.image.layer
        if chooser is None or chooser.layer is None or image is None:
            return
        try:
            labels, reference = self._workspace.volume_of(chooser.layer), self._workspace.volume_of(image)
        except SamMedError as error:
            self._refuse(error)
            return
        self._kind, self._rows = "", []
        self._job = PoolJob(lambda: iter([resample_labels(labels, reference)]), self)
        self._job.item.connect(lambda volume: self._use_resampled(chooser, volume))
        self._job.done.connect(lambda: self._end_resample("The labels now lie on the grid of the image."))
        self._job.cancelled.connect(lambda: self._end_resample("Cancelled."))
        self._job.failed.connect(lambda text: self._end_resample(text, problem=True))
        self._set_busy(True)
        self.bar.setRange(0, 0)
        self.message.say("Resampling…")
        self._job.start()

    def _use_resampled(self, chooser: LayerChooser, volume: Volume) -> None:
        layer = add_labels(self._viewer, replace(volume, name=f"{volume.name} (resampled)"))
        chooser.choose(layer)
        layer.visible = False

    def _end_resample(self, text: str, problem: bool = False) -> None:
        self._job = None
        self._set_busy(False)
        self.message.say(text, problem=problem)

    def _slice_on_screen(self) -> int:
        position = slice_position(self._viewer, self.form.truth.layer)
        if position is None or position.axis != self.form.axis:
            plane = self.form.plane.currentText().lower()
            raise InputError(
                f"The viewer shows no {plane} slice of the truth; choose its plane, or other slices."
            )
        return position.index

    def _on_layers(self) -> None:
        if not self.busy:
            self._set_busy(False)
            self._mismatched = None
            self.message.say("" if self._scores is not None else _EMPTY)
        if self.form.prediction.layer is self.form.truth.layer:
            self.form.prediction.choose_other_than(self.form.truth.layer)

    def _choose_plane(self) -> None:
        layer = self.form.image.layer
        if layer is None:
            return
        position = slice_position(self._viewer, layer)
        try:
            axis = self._workspace.volume_of(layer).best_axis() if position is None else position.axis
        except SamMedError:
            return  # said in words when the user starts a job
        self.form.plane.setCurrentIndex(axis)

    def _list_labels(self) -> None:
        """Find the objects of the truth on the pool; a large volume takes a moment."""
        layer = self.form.truth.layer
        self.form.offer_labels((), {})
        if layer is None:
            return
        try:
            volume = self._workspace.volume_of(layer)
        except SamMedError:
            return
        self._listing = PoolJob(lambda: iter([list(label_boxes(label_array(volume)))]), self)

        def offer(values: list[int]) -> None:
            if layer is self.form.truth.layer:
                self.form.offer_labels(values, volume.label_names)

        self._listing.item.connect(offer)
        self._listing.start()

    def _on_model(self, model: Any) -> None:
        if model is not None:
            self.form.show_model(model.name, model.device)
        else:
            self.form.show_model(f"{self._workspace.model_request or 'builtin'}, loaded when needed")

    def _set_busy(self, busy: bool) -> None:
        self.form.set_busy(busy)
        self.bar.setVisible(busy)
        self.cancel_button.setVisible(busy)
        self.cancel_button.setEnabled(busy)
