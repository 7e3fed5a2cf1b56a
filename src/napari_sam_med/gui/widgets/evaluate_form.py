"""What the user chooses in the Evaluate panel: layers, plane, and how prompts are simulated."""

from __future__ import annotations

from typing import Any

from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QPushButton,
    QSizePolicy,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from napari_sam_med.core.volume import AXES
from napari_sam_med.gui.widgets.diagnostics_overlay import PASSING_NAMES
from napari_sam_med.gui.widgets.evaluate_controls import LayerChooser
from napari_sam_med.gui.widgets.evaluate_simulate import SimulateForm


class EvaluateForm(QWidget):
    """Layers and choices of the Evaluate panel; it computes nothing.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Offers its layers.
    """

    compare_asked = Signal()
    simulate_asked = Signal()
    layers_changed = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image = LayerChooser(viewer, Image)
        self.image.setToolTip("The image: prompts are simulated on it, and factors are measured in it.")
        self.truth = LayerChooser(viewer, Labels, prefer=("truth", "label"), hide=PASSING_NAMES)
        self.truth.setToolTip("The labels that count as correct (ground truth).")
        self.plane = QComboBox()
        self.plane.setToolTip("Slices of which plane are scored.")
        self.plane.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.plane.addItems([name.capitalize() for name in AXES])
        layers = QFormLayout()
        layers.setContentsMargins(0, 0, 0, 0)
        layers.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        layers.addRow("Image", self.image)
        layers.addRow("Truth", self.truth)
        layers.addRow("Plane", self.plane)
        self.tabs = QTabBar()
        self.tabs.setDrawBase(False)
        self.tabs.addTab("Compare labels")
        self.tabs.setTabToolTip(
            0, "Score a prediction that is in the viewer: your own masks, or another model's."
        )
        self.tabs.addTab("Simulate prompts")
        self.tabs.setTabToolTip(
            1, "Let the model answer to prompts made from the truth, and score its answers."
        )
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.simulation = SimulateForm()
        self.simulation.simulate_asked.connect(self.simulate_asked)
        self._pages = (self._compare_page(viewer), self.simulation)
        self.tabs.currentChanged.connect(self._show_page)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(layers)
        column.addWidget(self.tabs)
        for page in self._pages:
            column.addWidget(page)
        self._show_page(0)
        for chooser in (self.image, self.truth, self.prediction):
            chooser.layer_changed.connect(self.layers_changed)

    def _compare_page(self, viewer: Any) -> QWidget:
        page = QWidget()
        form = QFormLayout(page)
        form.setContentsMargins(6, 6, 6, 6)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        prefer = ("prediction", "segment", "mask")
        self.prediction = LayerChooser(viewer, Labels, prefer=prefer, hide=PASSING_NAMES)
        self.prediction.setToolTip(
            "The labels to score; the same number must mean the same object as in the truth."
        )
        self.compare_button = QPushButton("Compare")
        self.compare_button.setToolTip("Dice, Jaccard, HD95, ASSD and volumes by slice, object and volume.")
        self.compare_button.clicked.connect(self.compare_asked)
        form.addRow("Prediction", self.prediction)
        form.addRow(self.compare_button)
        return page

    def _show_page(self, shown: int) -> None:
        # a QTabWidget would be as high as its highest page
        for i, page in enumerate(self._pages):
            page.setVisible(i == shown)

    @property
    def axis(self) -> int:
        """Number of the chosen plane."""
        return int(self.plane.currentIndex())

    def set_busy(self, busy: bool) -> None:
        """Disable what must not change while a job runs."""
        for widget in (self.image, self.truth, self.prediction):
            widget.setEnabled(not busy and widget.count() > 0)
        for widget in (self.plane, self.tabs, *self._pages):
            widget.setEnabled(not busy)
