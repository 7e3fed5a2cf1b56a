"""Grey window: presets, and sliders for level and width."""

from __future__ import annotations

import math

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QGridLayout, QLabel, QSizePolicy, QSlider, QWidget

from napari_sam_med.core.errors import SamMedError
from napari_sam_med.core.volume import Volume
from napari_sam_med.core.windowing import CT_PRESETS, DICOM, PERCENTILE, Window, dicom_window, resolve_window

_STEPS = 1000
_LEVEL_TIP = "Grey value in the middle; a right-drag up or down on the image does the same"
_WIDTH_TIP = "Range from black to white; a right-drag left or right on the image does the same"
_TITLES = {PERCENTILE: "MR percentile 0.5-99.5", DICOM: "From the file (DICOM)"}


class WindowControl(QWidget):
    """Chooses a window; it computes no pixels.

    Attributes
    ----------
    window_changed : Signal(object)
        A :class:`Window` the user chose. :meth:`show_window` does not emit it.
    """

    window_changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._volume: Volume | None = None
        self._window = Window(0.5, 1.0)
        self._bounds = (0.0, 1.0)
        self._resolved: dict[str, Window] = {}
        self.preset = QComboBox()
        self.preset.setToolTip("Grey window for the screen and the model alike; the voxels are never changed")
        self.preset.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.preset.setMinimumContentsLength(10)
        self.level_slider, self.level = self._row(_LEVEL_TIP)
        self.width_slider, self.width = self._row(_WIDTH_TIP)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(4)
        grid.addWidget(QLabel("Preset"), 0, 0)
        grid.addWidget(self.preset, 0, 1, 1, 2)
        for row, (name, slider, spin) in enumerate(
            (("Level", self.level_slider, self.level), ("Width", self.width_slider, self.width)), start=1
        ):
            grid.addWidget(QLabel(name), row, 0)
            grid.addWidget(slider, row, 1)
            grid.addWidget(spin, row, 2)
        grid.setColumnStretch(1, 1)
        self.preset.activated.connect(self._preset_chosen)
        self.level_slider.valueChanged.connect(lambda v: self._choose(level=self._level_at(v)))
        self.width_slider.valueChanged.connect(lambda v: self._choose(width=self._width_at(v)))
        self.level.valueChanged.connect(lambda v: self._choose(level=v))
        self.width.valueChanged.connect(lambda v: self._choose(width=v))
        self.setEnabled(False)

    @property
    def current(self) -> Window:
        """The window shown."""
        return self._window

    def set_volume(self, volume: Volume | None, bounds: tuple[float, float]) -> None:
        """Offer the presets that make sense for a volume, and sliders over its range of values."""
        if volume is None or self._volume is None or volume.data is not self._volume.data:
            self._resolved = {}
        self._volume = volume
        low, high = bounds
        self._bounds = (low, high if high > low else low + 1.0)
        self.setEnabled(volume is not None)
        with QSignalBlocker(self.preset):
            self.preset.clear()
            for name, title in self._presets(volume):
                self.preset.addItem(title, name)
            self.preset.addItem("Custom", "")
        span = self._bounds[1] - self._bounds[0]
        decimals = 0 if span > 50 else max(1, 3 - math.floor(math.log10(span)))
        for spin in (self.level, self.width):
            with QSignalBlocker(spin):
                spin.setDecimals(decimals)
                spin.setSingleStep(span / 200 if span <= 50 else max(1.0, round(span / 200)))
        self.show_window(self._window)

    def show_window(self, window: Window) -> None:
        """Show a window that was set elsewhere."""
        self._window = window
        for widget, value in (
            (self.level, window.level),
            (self.width, window.width),
            (self.level_slider, self._level_to(window.level)),
            (self.width_slider, self._width_to(window.width)),
        ):
            with QSignalBlocker(widget):
                widget.setValue(value)
        with QSignalBlocker(self.preset):
            self.preset.setCurrentIndex(self._matching_preset(window))

    def choose_preset(self, name: str) -> None:
        """Choose a preset by its name ("soft-tissue", "mr-percentile", ...)."""
        index = self.preset.findData(name)
        if index >= 0:
            self._preset_chosen(index)

    def _presets(self, volume: Volume | None) -> list[tuple[str, str]]:
        if volume is None:
            return []
        found = []
        if dicom_window(volume) is not None:
            found.append((DICOM, _TITLES[DICOM]))
        percentile = (PERCENTILE, _TITLES[PERCENTILE])
        ct = [
            (name, f"{name.replace('-', ' ').capitalize()} {window}") for name, window in CT_PRESETS.items()
        ]
        return [*found, *ct, percentile] if volume.modality.upper() in ("CT", "") else [*found, percentile]

    def _matching_preset(self, window: Window) -> int:
        for index in range(self.preset.count() - 1):
            name = self.preset.itemData(index)
            # percentiles of a CT are worked out only when the user asks for them
            lazy = name == PERCENTILE and self._volume is not None and self._volume.modality.upper() == "CT"
            known = self._resolved.get(name) if lazy else self._resolve(name)
            if known is not None and _alike(known, window):
                return index
        return self.preset.count() - 1

    def _resolve(self, name: str) -> Window | None:
        if self._volume is None:
            return None
        if name not in self._resolved:  # percentiles of a large volume take a moment: once is enough
            try:
                self._resolved[name] = resolve_window(name, self._volume)
            except SamMedError:
                return None
        return self._resolved[name]

    def _preset_chosen(self, index: int) -> None:
        name = self.preset.itemData(index)
        window = self._resolve(name) if name else None
        if window is not None:
            self.show_window(window)
            self.window_changed.emit(window)

    def _choose(self, level: float | None = None, width: float | None = None) -> None:
        window = Window(
            self._window.level if level is None else level,
            max(self._window.width if width is None else width, self._smallest()),
        )
        if not _alike(window, self._window):
            self.show_window(window)
            self.window_changed.emit(window)

    def _smallest(self) -> float:
        return (self._bounds[1] - self._bounds[0]) / 10_000

    def _level_at(self, step: int) -> float:
        low, high = self._bounds
        return low + (high - low) * step / _STEPS

    def _level_to(self, level: float) -> int:
        low, high = self._bounds
        return round(_STEPS * min(max((level - low) / (high - low), 0), 1))

    # the width slider is logarithmic: narrow windows need the finer steps
    def _width_at(self, step: int) -> float:
        widest = 2 * (self._bounds[1] - self._bounds[0])
        return float(widest * (1e-3 ** (1 - step / _STEPS)))

    def _width_to(self, width: float) -> int:
        widest = 2 * (self._bounds[1] - self._bounds[0])
        return round(_STEPS * min(max(1 + math.log(max(width, 1e-12) / widest, 1e3), 0), 1))

    @staticmethod
    def _row(tip: str) -> tuple[QSlider, QDoubleSpinBox]:
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setRange(0, _STEPS)
        slider.setToolTip(tip)
        spin = QDoubleSpinBox()
        spin.setRange(-1e9, 1e9)
        spin.setKeyboardTracking(False)
        spin.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        spin.setAlignment(Qt.AlignmentFlag.AlignRight)
        spin.setFixedWidth(76)
        spin.setToolTip(tip)
        return slider, spin


def _alike(a: Window, b: Window) -> bool:
    tolerance = 1e-4 * max(a.width, b.width)
    return abs(a.level - b.level) <= tolerance and abs(a.width - b.width) <= tolerance
