"""Encode all slices: what it will take, how far it is, and a way to stop it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_sam_med.core.volume import AXES
from napari_sam_med.gui.encoding import EncodeProgress, EncodingPlan
from napari_sam_med.gui.widgets.slice_strip import SliceStrip


class EncodeBar(QWidget):
    """Strip of slices, estimate, button and progress.

    Attributes
    ----------
    asked, cancelled : Signal()
        The user pressed "Encode all slices" or "Stop".
    """

    asked = Signal()
    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.strip = SliceStrip()
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.label.setToolTip(
            "An encoded slice answers a prompt at once; embeddings are kept on disk for next time"
        )
        self.button = QPushButton("Encode all slices")
        self.button.setToolTip(
            "Encode the other slices of this plane, the nearest first; you can go on prompting"
        )
        self.bar = QProgressBar()
        self.bar.setToolTip("Slices encoded so far")
        self.bar.setTextVisible(False)
        self.stop = QPushButton("Stop")
        self.stop.setToolTip("Stop encoding; what is encoded stays")
        line = QHBoxLayout()
        line.setSpacing(6)
        line.addWidget(self.button)
        line.addWidget(self.bar, 1)
        line.addWidget(self.stop)
        line.addStretch(0)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.strip)
        column.addWidget(self.label)
        column.addLayout(line)
        self.button.clicked.connect(self.asked.emit)
        self.stop.clicked.connect(self.cancelled.emit)
        self._progress: EncodeProgress | None = None
        self._show_running(False)

    def show_plan(self, plan: EncodingPlan, axis: int | None, current: int) -> None:
        """Show what is encoded, and what the rest would take."""
        self.strip.show_slices(plan.n_slices, plan.encoded, current)
        if self._progress is not None:
            return
        estimate = plan.estimate()
        if axis is None or not plan.n_slices:
            self.label.setText("No slice on screen.")
        elif estimate.slices == 0:
            self.label.setText(f"All {plan.n_slices} {AXES[axis]} slices are encoded.")
        else:
            rest = [time_text(estimate.seconds), size_text(estimate.bytes)]
            takes = " · ".join(text for text in rest if text)
            done = f"{len(plan.encoded)} of {plan.n_slices} {AXES[axis]} slices encoded"
            self.label.setText(f"{done}. The rest takes about {takes}." if takes else f"{done}.")
        self.button.setEnabled(axis is not None and estimate.slices > 0 and estimate.bytes is not None)

    def show_progress(self, progress: EncodeProgress | None) -> None:
        """Show how far it is; None when it has ended."""
        self._progress = progress
        self._show_running(progress is not None)
        if progress is not None:
            self.bar.setRange(0, progress.total)
            self.bar.setValue(progress.done)
            left = time_text(progress.seconds_left)
            text = f"Encoding: {progress.done} of {progress.total} slices"
            self.label.setText(f"{text}, {left} left." if left else f"{text}.")

    def _show_running(self, running: bool) -> None:
        self.button.setVisible(not running)
        self.bar.setVisible(running)
        self.stop.setVisible(running)


def time_text(seconds: float | None) -> str:
    """A duration for people: "40 s", "3 min", "1 h 20 min"."""
    if seconds is None:
        return ""
    if seconds < 1:
        return "1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def size_text(size: int | None) -> str:
    """A size on disk for people: "120 MB on disk"."""
    if size is None:
        return ""
    if size < 1e6:
        return f"{max(size, 1000) / 1e3:.0f} kB on disk"
    return f"{size / 1e6:.0f} MB on disk" if size < 1e9 else f"{size / 1e9:.1f} GB on disk"
