"""The tour behind ``demo --headless``: a radiologist's steps on the real panels, with a picture of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from napari_sam_med.core.errors import OutputError, SamMedError
from napari_sam_med.core.prompt import Prompt, tight_box
from napari_sam_med.evaluation.table import summary
from napari_sam_med.gui.app import make_diagnostics_widget, make_evaluate_widget, make_segment_widget
from napari_sam_med.gui.layers import SlicePosition, go_to_slice
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.gui.widgets.diagnostics import DiagnosticsPanel
from napari_sam_med.gui.widgets.evaluate import EvaluatePanel
from napari_sam_med.gui.widgets.segment import SegmentPanel
from napari_sam_med.gui.widgets.table_export import write_csv

_MODEL_SECONDS = 120
_STEP_SECONDS = 90
_LOOSE_PX = 2


class Panels(NamedTuple):
    """The three docked panels of a viewer."""

    segment: SegmentPanel
    evaluate: EvaluatePanel
    diagnostics: DiagnosticsPanel


class TourError(SamMedError):
    """A step of the tour did not come to its end."""


def dock_panels(viewer: Any) -> Panels:
    """Dock the panels on the right, as tabs."""
    panels = Panels(
        make_segment_widget(viewer), make_evaluate_widget(viewer), make_diagnostics_widget(viewer)
    )
    for name, panel in zip(("Segment", "Evaluate", "Diagnostics"), panels, strict=True):
        viewer.window.add_dock_widget(panel, name=name, area="right", tabify=name != "Segment")
    bring_to_front(panels.segment)
    return panels


def bring_to_front(panel: QWidget) -> None:
    """Show the tab of a docked panel."""
    dock = panel.parentWidget()
    if dock is not None:
        dock.show()
        dock.raise_()


def tour(folder: Path) -> pd.DataFrame:
    """Drive the panels over both samples; pictures and ``scores.csv`` go into `folder`.

    Returns
    -------
    DataFrame
        All simulated scores.

    Raises
    ------
    TourError
        If a panel reports a problem or does not answer in time.
    """
    from napari_sam_med.gui.tour import open_demo

    viewer, panels = open_demo()
    try:
        guide = Guide(viewer, panels, folder)
        tables = [guide.brain(), guide.abdomen()]
        table = pd.concat(tables, ignore_index=True)
        written = write_csv(table, folder / "scores.csv")
        print(_text(guide.drawn, table))
        print(f"Wrote {written.name} ({len(table)} rows) and {guide.n_pictures} pictures to {folder}")
    finally:
        workspace_for(viewer).close(5.0)
        viewer.close()
        QTest.qWait(50)
    return table


class Guide:
    """Moves through the panels and takes pictures."""

    def __init__(self, viewer: Any, panels: Panels, folder: Path) -> None:
        self.viewer = viewer
        self.panels = panels
        self.folder = folder
        self.n_pictures = 0
        self.drawn: list[tuple[str, float]] = []

    def brain(self) -> pd.DataFrame:
        """The brain MR: a box around the brain, its score, simulated prompts, and the worst slice."""
        viewer, panels = self.viewer, self.panels
        image, brain, tissues = list(viewer.layers)[:3]
        tissues.visible = False
        viewer.layers.selection.active = image
        index = int(np.argmax(np.count_nonzero(np.asarray(brain.data), axis=(1, 2))))
        self.segment(image, brain, label=1, index=index)
        self.picture("01-segment")
        panels.segment.objects.accept()
        self.compare(image, brain, panels.segment.canvas.target, index)
        self.picture("02-compare")
        table = self.simulate(image, tissues, n_slices=10)
        self.picture("03-evaluate")
        bring_to_front(panels.diagnostics)
        self.settle()
        self.picture("04-diagnostics")
        self.click_worst_dot()
        self.picture("05-failure")
        panels.diagnostics.hide_overlay()
        return table

    def abdomen(self) -> pd.DataFrame:
        """The synthetic CT: a box around its largest organ, and simulated prompts on all organs."""
        panels = self.panels
        image, organs = self.open_abdomen()
        data = np.asarray(organs.data)
        label = int(np.argmax(np.bincount(data.reshape(-1))[1:]) + 1)
        index = int(np.argmax(np.count_nonzero(data == label, axis=(1, 2))))
        self.segment(image, organs, label, index)
        self.picture("06-ct-segment")
        panels.segment.objects.accept()
        organs.visible = True
        table = self.simulate(image, organs, n_slices=6)
        bring_to_front(panels.diagnostics)
        panels.diagnostics.choosers.strategy.setCurrentText("S5")
        self.settle()
        self.click_worst_dot()
        self.picture("07-ct-failure")
        return table

    # ---- steps

    def open_abdomen(self) -> tuple[Any, Any]:
        """The synthetic CT alone, and its organs, which are hidden."""
        self.viewer.layers.clear()
        self.viewer.open_sample("napari-sam-med", "abdomen")
        self.viewer.reset_view()
        image, organs = (
            next(x for x in self.viewer.layers if type(x).__name__ == kind) for kind in ("Image", "Labels")
        )
        organs.visible = False
        self.viewer.layers.selection.active = image
        return image, organs

    def segment(self, image: Any, truth: Any, label: int, index: int) -> None:
        """Draw a slightly loose box around an object and wait for the mask."""
        panel = self.panels.segment
        bring_to_front(panel)
        panel.view.image.choose(image)
        self.wait(lambda: panel.canvas.image is not None and panel.canvas.image == image, "the image")
        self.wait(lambda: workspace_for(self.viewer).model is not None, "the model", _MODEL_SECONDS)
        go_to_slice(self.viewer, image, 0, index)
        self.wait(lambda: getattr(panel.controller.position, "index", None) == index, "the slice")
        mask = np.asarray(truth.data)[index] == label
        box = tight_box(mask)
        assert box is not None
        r0, c0, r1, c1 = box
        loose = (r0 - _LOOSE_PX, c0 - _LOOSE_PX, r1 + _LOOSE_PX, c1 + _LOOSE_PX)
        panel.canvas.prompts.put(SlicePosition(0, index), Prompt.from_box(loose))
        self.wait(lambda: panel.controller.proposal is not None, "the mask")
        proposal = panel.controller.proposal
        assert proposal is not None
        found = proposal.mask
        both, total = np.count_nonzero(found & mask), np.count_nonzero(found) + np.count_nonzero(mask)
        name = self.panels.evaluate.workspace.volume_of(truth).label_names.get(label, truth.name)
        self.drawn.append((f"{image.name}, box around {name} in axial slice {index}", 2 * both / total))

    def compare(self, image: Any, truth: Any, prediction: Any, index: int) -> None:
        """Compare the accepted mask with the truth and go to its slice in the table."""
        panel = self.panels.evaluate
        bring_to_front(panel)
        panel.form.tabs.setCurrentIndex(0)
        for chooser, layer in (
            (panel.form.image, image),
            (panel.form.truth, truth),
            (panel.form.prediction, prediction),
        ):
            chooser.choose(layer)
        panel.form.plane.setCurrentIndex(0)
        panel.compare()
        self.wait(lambda: not panel.busy, "the comparison")
        table = panel.results.table
        table.sortByColumn([c.name for c in table.columns].index("dice"), Qt.SortOrder.DescendingOrder)
        rows = panel.results.frames()["Slices"]
        table.choose_row(int(np.flatnonzero(rows["slice"] == index)[0]))

    def simulate(
        self,
        image: Any,
        truth: Any,
        n_slices: int,
        strategies: Sequence[str] = ("S2", "S5"),
        models: Sequence[str] = ("builtin",),
    ) -> pd.DataFrame:
        """Simulate prompts, one point and one box unless told, on some slices of a truth."""
        panel = self.panels.evaluate
        bring_to_front(panel)
        panel.form.tabs.setCurrentIndex(1)
        panel.form.image.choose(image)
        panel.form.truth.choose(truth)
        panel.form.plane.setCurrentIndex(0)
        panel.form.simulation.max_slices.setValue(n_slices)
        self.wait(lambda: panel.form.simulation.labels.count > 0, "the objects of the truth")
        panel.form.simulation.labels.set_values(panel.form.simulation.labels.offered())
        panel.form.simulation.strategies.set_values(tuple(strategies))
        panel.form.simulation.models.set_values(tuple(models))
        panel.simulate()
        self.wait(lambda: not panel.busy, "the simulated prompts", 10 * _STEP_SECONDS)
        if panel.scores is None or panel.scores.truth != truth:
            raise TourError(f"The simulated prompts gave no scores: {panel.message.text}")
        return panel.scores.frame

    def click_worst_dot(self) -> None:
        """Click the dot with the lowest Dice, with the mouse."""
        panel = self.panels.diagnostics
        dice = panel.shown["dice"].to_numpy(float)
        position = int(np.nanargmin(dice))
        place = panel.figure.position_of(position)
        if place is None:
            raise TourError("The Diagnostics panel shows no dots.")
        point = QPoint(round(place[0]), round(place[1]))
        QTest.mouseClick(
            panel.figure.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point
        )
        self.settle()

    # ---- waiting and pictures

    def wait(self, done: Callable[[], bool], what: str, seconds: float = _STEP_SECONDS) -> None:
        """Keep the window alive until `done`."""
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                said = self.panels.segment.view.message.text or self.panels.evaluate.message.text
                raise TourError(f"The demo waited {seconds:.0f} s for {what} in vain. The panel says: {said}")
            QTest.qWait(15)  # unlike processEvents, it also deletes what Qt deletes later

    def settle(self, seconds: float = 0.5) -> None:
        """Give debounced events and drawing their time."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= end, "the window")

    def picture(self, name: str) -> None:
        """A picture of the whole window."""
        self.settle()
        path = self.folder / f"{name}.png"
        try:
            self.viewer.window.screenshot(str(path), flash=False)
        except OSError as error:
            raise OutputError(f"{path} could not be written: {error.strerror or error}.") from error
        self.n_pictures += 1


def _text(drawn: list[tuple[str, float]], table: pd.DataFrame) -> str:
    """The scores in a few lines."""
    lines = [f"{what}: Dice {dice:.3f}" for what, dice in drawn]
    for case, rows in table.groupby("case", sort=False):
        lines.append(f"{case}, prompts simulated from the truth:")
        for _, row in summary(rows).iterrows():
            lines.append(
                f"  {row['strategy']} {row['rule']:<6} Dice {row['dice']:.3f}  Jaccard {row['jaccard']:.3f}"
                f"  HD95 {row['hd95_mm']:.1f} mm  n = {row['dice_n_valid']:.0f}, failed {row['n_errors']:.0f}"
            )
    return "\n".join(lines)
