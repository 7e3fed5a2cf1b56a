"""What the user chooses in the Evaluate panel: layers, plane, and how prompts are simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from napari_sam_med.core.volume import AXES
from napari_sam_med.core.windowing import Window
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.gui.widgets.diagnostics_overlay import PASSING_NAMES
from napari_sam_med.gui.widgets.evaluate_controls import LayerChooser, ManyChooser, row
from napari_sam_med.prompts import STRATEGIES

CURRENT, EVERY, SPREAD = "current", "every", "spread"
"""Which slices: the one on screen, all with truth, or so many spread evenly over them."""
_SPIN_PX = 108


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
        self._pages = (self._compare_page(viewer), self._simulate_page())
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

    def _simulate_page(self) -> QWidget:
        page = QWidget()
        form = QFormLayout(page)
        form.setContentsMargins(6, 6, 6, 6)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.model = QLabel("loaded at the first run")
        self.model.setWordWrap(True)
        self.model.setToolTip("The model that answers; choose another in the Segment panel.")
        self.strategies = ManyChooser("All prompts", "Choose a prompt")
        self.strategies.setToolTip("Prompts to simulate from the truth; each is scored by itself.")
        items = [(name, name, strategy.title) for name, strategy in STRATEGIES.items()]
        self.strategies.offer(items, ticked=("S2", "S5"))
        self.slices = QComboBox()
        self.slices.addItem("Spread evenly", SPREAD)
        self.slices.addItem("All with truth", EVERY)
        self.slices.addItem("Slice on screen", CURRENT)
        self.slices.setToolTip("Which slices to score.")
        self.slices.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.slices.setMinimumContentsLength(8)
        self.max_slices = QSpinBox()
        self.max_slices.setRange(1, 9999)
        self.max_slices.setValue(12)
        self.max_slices.setPrefix("≤ ")
        self.max_slices.setToolTip("At most so many slices, spread evenly over those with truth.")
        self.slices.currentIndexChanged.connect(
            lambda _: self.max_slices.setVisible(self.slices.currentData() == SPREAD)
        )
        self.labels = ManyChooser("All objects", "Choose an object")
        self.labels.setToolTip("Objects of the truth to score.")
        self.min_pixels = QSpinBox()
        self.min_pixels.setRange(0, 99_999)
        self.min_pixels.setValue(50)
        self.min_pixels.setPrefix("> ")
        self.min_pixels.setSuffix(" px")
        self.min_pixels.setToolTip("An object counts in the slices where it has more pixels than this.")
        for spin in (self.max_slices, self.min_pixels):
            spin.setFixedWidth(_SPIN_PX)
        self.simulate_button = QPushButton("Simulate prompts")
        self.simulate_button.setToolTip(
            "Prompt the model on the chosen slices; your own prompts are answered meanwhile."
        )
        self.simulate_button.clicked.connect(self.simulate_asked)
        form.addRow("Model", self.model)
        form.addRow("Prompts", self.strategies)
        form.addRow("Slices", row(self.slices, self.max_slices, stretch=0))
        form.addRow("Objects", row(self.labels, self.min_pixels, stretch=0))
        form.addRow(self.simulate_button)
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

    def offer_labels(self, values: Sequence[int], names: Mapping[int, str]) -> None:
        """Offer the objects of a truth, by value and name."""
        self.labels.offer([(value, names.get(value, f"label {value}"), "") for value in values])

    def show_model(self, name: str, device: str = "") -> None:
        """Say which model answers."""
        self.model.setText(f"{name} ({device})" if device else name)

    def config(self, model: str, window: Window) -> EvaluationConfig:
        """The choices of the simulation, frozen.

        Raises
        ------
        InputError
            If nothing is ticked.
        """
        every_label = len(self.labels.values()) == self.labels.count
        return EvaluationConfig(
            models=(model,),
            strategies=tuple(self.strategies.values()),
            axes=(AXES[self.axis],),
            labels=None if every_label else tuple(self.labels.values()),
            max_slices=self.max_slices.value() if self.slices.currentData() == SPREAD else None,
            window=f"{window.level!r}/{window.width!r}",
            min_pixels=self.min_pixels.value(),
            rules=("score", "oracle"),
        )
