"""How prompts are simulated: which models, prompts, slices and objects, and what few need, folded away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_sam_med.core.windowing import Window
from napari_sam_med.evaluation.baselines import BASELINES
from napari_sam_med.evaluation.config import EvaluationConfig, shown_name
from napari_sam_med.evaluation.robustness_config import BINS, RobustnessConfig
from napari_sam_med.evaluation.rules import RULES
from napari_sam_med.gui.widgets.evaluate_controls import ManyChooser, row
from napari_sam_med.inference.everything import MAX_SIDE, MIN_SIDE, EverythingSettings
from napari_sam_med.models import CATALOG
from napari_sam_med.models.weights import find
from napari_sam_med.prompts import STRATEGIES
from napari_sam_med.prompts.jitter import BOX_MODES, POINT_MODES

CURRENT, EVERY, SPREAD = "current", "every", "spread"
"""Which slices: the one on screen, all with truth, or so many spread evenly over them."""
_SPIN_PX = 108
_RULE_TIPS = {
    "score": "the candidate the model rates highest: what a user gets",
    "oracle": "the candidate nearest the truth: what a user could get",
    "largest": "the candidate with the most voxels",
    "first": "the model's first candidate",
}
_MODE_TIPS = {
    "edges": "boxes: each edge by itself",
    "shift": "boxes: as a whole",
    "first": "points: the first one",
    "all": "points: each by itself",
}


class SimulateForm(QWidget):
    """Choices of the simulation; it computes nothing."""

    simulate_asked = Signal()
    changed = Signal()
    """Something that the cost depends on."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._current = ""
        self.models = ManyChooser("All models", "Choose a model")
        self.models.setToolTip(
            "Models and baselines that answer the same prompts. Others are downloaded in the Segment panel first."
        )
        self.strategies = ManyChooser("All prompts", "Choose a prompt")
        self.strategies.setToolTip("Prompts to simulate from the truth; each is scored by itself.")
        items = [(name, name, strategy.title, strategy.meaning) for name, strategy in STRATEGIES.items()]
        self.strategies.offer(items, ticked=("S2", "S5"))
        self.slices = _combo("Which slices to score.")
        self.slices.addItem("Spread evenly", SPREAD)
        self.slices.addItem("All with truth", EVERY)
        self.slices.addItem("Slice on screen", CURRENT)
        self.max_slices = _spin(1, 9999, 12, "≤ ", "")
        self.max_slices.setToolTip("At most so many slices, spread evenly over those with truth.")
        self.labels = ManyChooser("All objects", "Choose an object")
        self.labels.setToolTip("Objects of the truth to score.")
        self.min_pixels = _spin(0, 99_999, 50, "> ", " px")
        self.min_pixels.setToolTip("An object counts in the slices where it has more pixels than this.")
        self.more_button = QToolButton()
        self.more_button.setText("More")
        self.more_button.setToolTip("Rules, variant, jitter, and what single prompts need.")
        self.more_button.setCheckable(True)
        self.more_button.setAutoRaise(True)
        self.more_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.cost = QLabel()
        self.cost.setWordWrap(True)
        self.cost.setToolTip("What the choices above mean; the time is known once this model has worked.")
        self.simulate_button = QPushButton("Simulate prompts")
        self.simulate_button.setToolTip(
            "Prompt the models on the chosen slices; your own prompts are answered meanwhile."
        )
        self.simulate_button.clicked.connect(self.simulate_asked)
        self.more = self._more_section()
        self._lay_out()
        self.more_button.toggled.connect(self._fold)
        self._fold(False)
        self.slices.currentIndexChanged.connect(
            lambda _: self.max_slices.setVisible(self.slices.currentData() == SPREAD)
        )
        for chooser in (self.models, self.strategies, self.labels, self.rules, self.jitter, self.modes):
            chooser.changed.connect(self.changed)
        self.slices.currentIndexChanged.connect(lambda _: self.changed.emit())
        for spin in (self.max_slices, self.min_pixels, self.grid, self.clicks, self.seeds):
            spin.valueChanged.connect(lambda _: self.changed.emit())
        self.show_model("builtin", "")

    def _more_section(self) -> QWidget:
        page = QWidget()
        form = _form(page, 0)
        self.rules = ManyChooser("All rules", "Choose a rule")
        self.rules.setToolTip("Which of a model's candidates counts; each rule gives rows of its own.")
        self.rules.offer([(n, n, "", _RULE_TIPS.get(n, "")) for n in RULES], ticked=("score", "oracle"))
        self.variant = _combo(
            "Where points lie: as the text of Huang et al. 2024 says, or as their code does."
        )
        self.variant.addItem("As in the paper", "paper")
        self.variant.addItem("As in its code", "repo")
        self.grid = _spin(MIN_SIDE, MAX_SIDE, 32, "S1 ", "²")
        self.grid.setToolTip(
            "Points along each side of the grid of S1 Everything; time grows with its square."
        )
        self.clicks = _spin(1, 50, 5, "", " clicks")
        self.clicks.setToolTip("Clicks of the prompt “clicks”, the first one included.")
        self.jitter = ManyChooser("0 to 30 px", "No jitter")
        self.jitter.setToolTip("Move prompts at random by so many pixels, as careless hands do.")
        self.jitter.offer([(limits, f"{limits[0]:g}-{limits[1]:g} px", "", "") for limits in BINS], ticked=())
        self.modes = ManyChooser("All ways", "Choose a way")
        self.modes.setToolTip("How prompts are moved.")
        modes = dict.fromkeys((*BOX_MODES, *POINT_MODES))
        self.modes.offer([(n, n, "", _MODE_TIPS.get(n, "")) for n in modes], ticked=("edges", "all"))
        self.seeds = _spin(1, 10, 3, "", " draws")
        self.seeds.setToolTip("How often each prompt is moved anew.")
        form.addRow("Rules", self.rules)
        form.addRow("Points", self.variant)
        form.addRow("Effort", row(self.grid, self.clicks, stretch=0))
        form.addRow("Jitter", row(self.jitter, self.seeds, stretch=0))
        form.addRow("Moved", self.modes)
        self.jitter.changed.connect(self._show_jitter)
        self._more_form = form
        self._show_jitter()
        return page

    def _show_jitter(self) -> None:
        """How prompts are moved matters only where they are."""
        moved = bool(self.jitter.values())
        self.seeds.setVisible(moved)
        self._more_form.setRowVisible(self.modes, moved)

    def _lay_out(self) -> None:
        top, whole = QWidget(), QVBoxLayout(self)
        form = _form(top, 0)
        form.addRow("Models", self.models)
        form.addRow("Prompts", self.strategies)
        form.addRow("Slices", row(self.slices, self.max_slices, stretch=0))
        form.addRow("Objects", row(self.labels, self.min_pixels, stretch=0))
        whole.setContentsMargins(6, 6, 6, 6)
        whole.setSpacing(4)
        whole.addWidget(top)
        whole.addLayout(row(self.more_button, self.cost, stretch=1))
        whole.addWidget(self.more)
        whole.addWidget(self.simulate_button)

    def _fold(self, opened: bool) -> None:
        self.more_button.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self.more.setVisible(opened)

    def show_model(self, name_or_file: str, device: str) -> None:
        """Offer what can answer; the model in use comes first and takes the tick of the one before."""
        ticked = [self._current, *self.models.values()] if not self.models.count else self.models.values()
        ticked = [name_or_file if name == self._current else name for name in ticked]
        self._current = name_or_file
        where = f"in use, on {device}" if device else "in use"
        offered = [(name_or_file, shown_name(name_or_file), where, "The model of the Segment panel.")]
        for name, spec in CATALOG.items():
            if name != name_or_file and (spec.bundled or find(spec) is not None):
                offered.append((name, name, spec.title, f"Licence of the weights: {spec.licence}"))
        offered += [
            (n, n, b.title, "A baseline that needs no learning; boxes only.") for n, b in BASELINES.items()
        ]
        self.models.offer(offered, ticked=())
        self.models.set_values(ticked)

    def offer_labels(self, values: Sequence[int], names: Mapping[int, str]) -> None:
        """Offer the objects of a truth, by value and name."""
        self.labels.offer([(value, names.get(value, f"label {value}"), "", "") for value in values])
        self.changed.emit()

    @property
    def only_current(self) -> bool:
        """Whether the slice on screen alone is wanted."""
        return bool(self.slices.currentData() == CURRENT)

    def config(self, axis: str, window: Window) -> EvaluationConfig:
        """The choices of the simulation, frozen.

        Raises
        ------
        InputError
            If nothing is ticked.
        """
        every_label = len(self.labels.values()) == self.labels.count
        return EvaluationConfig(
            models=tuple(self.models.values()),
            strategies=tuple(self.strategies.values()),
            axes=(axis,),
            labels=None if every_label else tuple(self.labels.values()),
            max_slices=self.max_slices.value() if self.slices.currentData() == SPREAD else None,
            window=f"{window.level!r}/{window.width!r}",
            min_pixels=self.min_pixels.value(),
            rules=tuple(self.rules.values()),
            variant=self.variant.currentData(),
            everything=EverythingSettings(points_per_side=self.grid.value()),
            n_clicks=self.clicks.value(),
        )

    def jitter_config(self, config: EvaluationConfig) -> RobustnessConfig | None:
        """How prompts are moved besides; None if they are not.

        Raises
        ------
        InputError
            If no chosen prompt can be moved in the chosen ways.
        """
        bins, modes = tuple(self.jitter.values()), self.modes.values()
        if not bins:
            return None
        return RobustnessConfig(
            config,
            labs=("jitter",),
            bins=bins,
            seeds=tuple(range(self.seeds.value())),
            box_modes=tuple(mode for mode in modes if mode in BOX_MODES),
            point_modes=tuple(mode for mode in modes if mode in POINT_MODES),
        )


def _form(page: QWidget, margin: int) -> QFormLayout:
    form = QFormLayout(page)
    form.setContentsMargins(margin, margin, margin, margin)
    form.setVerticalSpacing(4)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
    return form


def _combo(tooltip: str) -> QComboBox:
    combo = QComboBox()
    combo.setToolTip(tooltip)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return combo


def _spin(low: int, high: int, value: int, prefix: str, suffix: str) -> QSpinBox:
    spin = QSpinBox()
    spin.setRange(low, high)
    spin.setValue(value)
    spin.setPrefix(prefix)
    spin.setSuffix(suffix)
    spin.setFixedWidth(_SPIN_PX)
    return spin
