"""Panel "Evaluate": how well a prediction, or the model with simulated prompts, fits the truth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_sam_med.core.errors import GridMismatchError, InputError, SamMedError
from napari_sam_med.core.geometry import require_same_grid, resample_labels
from napari_sam_med.core.result import Segmenter
from napari_sam_med.core.volume import AXES, Volume
from napari_sam_med.core.windowing import Window
from napari_sam_med.evaluation.labels import label_array, label_boxes
from napari_sam_med.gui.layers import add_labels, slice_position
from napari_sam_med.gui.state import Workspace, workspace_for
from napari_sam_med.gui.widgets.advice import AdviceStrip
from napari_sam_med.gui.widgets.diagnostics_overlay import failure_view
from napari_sam_med.gui.widgets.evaluate_controls import LayerChooser, MessageStrip, ScrollPanel, row
from napari_sam_med.gui.widgets.evaluate_cost import Choices, CostCounter, Task
from napari_sam_med.gui.widgets.evaluate_form import EvaluateForm
from napari_sam_med.gui.widgets.evaluate_jobs import Job, ModelJob, PoolJob, Progress
from napari_sam_med.gui.widgets.evaluate_results import ResultsView
from napari_sam_med.gui.widgets.evaluate_rows import Collected
from napari_sam_med.gui.widgets.evaluate_scores import Scores, board_of
from napari_sam_med.gui.widgets.evaluate_show import show_score
from napari_sam_med.gui.widgets.evaluate_steps import comparison_steps, simulation_steps
from napari_sam_med.gui.widgets.following import follow
from napari_sam_med.models import load_model

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
        self.load_model: Callable[[str, str], Segmenter] = load_model
        self._workspace = workspace_for(viewer)
        self._workspace.attach(self)
        self._board = board_of(self._workspace)
        self._mismatched: LayerChooser | None = None
        self._job: Job | None = None
        self._listing: Job | None = None
        self._collected = Collected()
        self._progress = Progress()
        self._scores: Scores | None = None
        self.failure = failure_view(viewer)
        self._counter = CostCounter(self._workspace, self._to_count, self)
        self._build()
        self._refresh = QTimer(self)
        self._refresh.setInterval(_REFRESH_MS)
        self._refresh.timeout.connect(self._show_rows)
        self._counter.told.connect(self.form.simulation.cost.setText)
        self.form.simulation.changed.connect(self._counter.restart)
        for changed in (self.form.plane.currentIndexChanged, self.form.tabs.currentChanged):
            changed.connect(lambda _: self._counter.restart())
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
        self.advice = AdviceStrip()
        scroll.column.addWidget(self.message)
        scroll.column.addWidget(self.advice)
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
            config, jitter, only = self._asked = self._choices()
            self._workspace.ensure_model()
        except SamMedError as error:
            self._refuse(error)
            return
        in_use, device = self._workspace.model_request, self._workspace.settings.device
        steps = simulation_steps(
            image, truth, config, jitter, only, in_use, lambda name: self.load_model(name, device)
        )
        self.form.simulation.more_button.setChecked(False)  # the rows need the room
        self._begin("simulate", ModelJob(self._workspace, steps, self), None)

    def _choices(self) -> Choices:
        """What is to be simulated, with the one slice if it is only that."""
        window = Window.from_limits(*self.form.image.layer.contrast_limits)
        simulation = self.form.simulation
        only = self._slice_on_screen() if simulation.only_current else None
        config = simulation.config(AXES[self.form.axis], window)
        return config, simulation.jitter_config(config), only

    def cancel(self) -> None:
        """Stop; the rows so far are kept."""
        if self._job is not None:
            self.cancel_button.setEnabled(False)
            self._job.cancel()

    def _begin(self, kind: str, job: Job, prediction: Any) -> None:
        self._job = job
        self._collected, self._progress = Collected(kind), Progress()
        self._layers = (self.form.image.layer, self.form.truth.layer, prediction)
        job.planned.connect(self._progress.plan)
        job.item.connect(self._on_item)
        job.done.connect(self._on_done)
        job.cancelled.connect(lambda: self._end("Cancelled; the rows so far are kept."))
        job.failed.connect(lambda text: self._end(text, problem=True))
        self._set_busy(True)
        self.failure.clear()
        self.message.say("Preparing…")
        self._refresh.start()
        job.start()

    def _on_item(self, value: Any) -> None:
        self._collected.take(value)
        self._progress.step()

    def _on_done(self) -> None:
        """The whole job was done: its time tells how long the next one takes."""
        if self._collected.kind == "simulate":
            self._counter.job_done(self._asked, self._progress.seconds)
        self._end("")

    def _end(self, text: str, problem: bool = False) -> None:
        self._refresh.stop()
        job, self._job = self._job, None
        self._set_busy(False)
        self._show_rows()
        self.results.table.fit_columns()
        if self._scores is not None and len(self._collected):
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
        if not len(self._collected):
            return
        started = time.perf_counter()
        levels, summary = self._collected.levels()
        self.results.set_levels(levels, summary)
        self.results.show()
        image, truth, prediction = self._layers
        what = prediction.name if prediction is not None else "simulated prompts"
        source = f"{what} against {truth.name}"
        frame, masks = levels[0].frame, self._collected.masks
        self._scores = Scores(frame, source, image, truth, prediction, masks, jitter=self._collected.jitter)
        self.advice.show_table(frame)
        # a long table takes a while to make: leave the window ten times as long in between
        spent_ms = 1000 * (time.perf_counter() - started)
        self._refresh.setInterval(max(_REFRESH_MS, round(10 * spent_ms)))

    def _on_row(self, level: str, position: int) -> None:
        if level != "Slices" or self._scores is None:
            return
        try:
            values = self._scores.frame.iloc[position]
            shown = show_score(self._viewer, self._workspace, self.failure, self._scores, values)
        except SamMedError as error:
            self.message.say(str(error), problem=True)
        else:
            if not self.busy:
                lacking = " The prediction is not in the viewer any more." if shown.lacking else ""
                self.message.say(f"{shown.text}{lacking}")

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
        self._collected = Collected()
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
        self.form.simulation.offer_labels((), {})
        if layer is None:
            return
        try:
            volume = self._workspace.volume_of(layer)
        except SamMedError:
            return
        self._listing = PoolJob(lambda: iter([list(label_boxes(label_array(volume)))]), self)

        def offer(values: list[int]) -> None:
            if layer is self.form.truth.layer:
                self.form.simulation.offer_labels(values, volume.label_names)

        self._listing.item.connect(offer)
        self._listing.start()

    def _on_model(self, model: Any) -> None:
        device = model.device if model is not None else ""
        self.form.simulation.show_model(self._workspace.model_request or "builtin", device)
        self._counter.restart()

    def _to_count(self) -> Task | None:
        """What the counter shall count; None where nothing can be."""
        if self.busy or not self.form.simulation.isVisibleTo(self):
            return None
        try:
            image, truth = self._volumes(self.form.image, self.form.truth)
            return Task(image, truth, *self._choices())
        except SamMedError:
            return None  # said in words when the user starts the job

    def _set_busy(self, busy: bool) -> None:
        self.form.set_busy(busy)
        self._counter.pause(busy)
        self.bar.setVisible(busy)
        self.cancel_button.setVisible(busy)
        self.cancel_button.setEnabled(busy)
