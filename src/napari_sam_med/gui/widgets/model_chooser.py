"""Which model segments: its name, licence and device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_sam_med.models import CATALOG
from napari_sam_med.models.weights import find

if TYPE_CHECKING:
    from napari_sam_med.gui.state import ModelState
    from napari_sam_med.inference.requests import DownloadProgress

_FILES = "Model weights (*.pth *.pt *.safetensors);;All files (*)"


class ModelChooser(QWidget):
    """The models of the catalog and checkpoint files of one's own.

    Attributes
    ----------
    model_chosen : Signal(str)
        Name in the catalog, or path of a checkpoint file.
    cancelled : Signal()
        The user stopped a download.
    """

    model_chosen = Signal(str)
    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.combo = QComboBox()
        self.combo.setToolTip("The model that answers prompts; another model needs its own embeddings")
        self.combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.combo.setMinimumContentsLength(10)
        for name, spec in CATALOG.items():
            there = find(spec) is not None
            size = "" if there or spec.bundled else f" (download {spec.size_bytes / 1e6:.0f} MB)"
            self.combo.addItem(spec.title + size, name)
            index = self.combo.count() - 1
            self.combo.setItemData(
                index,
                f"{spec.title}; licence of the weights: {spec.licence}"
                + (f"; from {spec.url}" if size else ""),
                Qt.ItemDataRole.ToolTipRole,
            )
        self.file_button = QPushButton("File…")
        self.file_button.setToolTip(
            "Choose a checkpoint file: SAM ViT-B/L/H (.pth) or built-in weights (.safetensors)"
        )
        self.info = QLabel()
        self.info.setWordWrap(True)
        self.info.setToolTip("Where the model runs, and the licence of its weights")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop the download; the model before it stays")
        self.cancel_button.hide()
        line = QHBoxLayout()
        line.setSpacing(6)
        line.addWidget(self.combo, 1)
        line.addWidget(self.file_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(line)
        below = QHBoxLayout()
        below.setSpacing(6)
        below.addWidget(self.info, 1)
        below.addWidget(self.cancel_button)
        column.addLayout(below)
        self.combo.activated.connect(lambda i: self.model_chosen.emit(self.combo.itemData(i)))
        self.file_button.clicked.connect(self._ask_for_file)
        self.cancel_button.clicked.connect(self.cancelled.emit)

    def show_asked(self, name_or_file: str) -> None:
        """Show which model was asked for; a file that is not in the list is added to it."""
        if not name_or_file:
            return
        with QSignalBlocker(self.combo):
            index = self.combo.findData(name_or_file)
            if index < 0:
                self.combo.addItem(Path(name_or_file).name, name_or_file)
                index = self.combo.count() - 1
                self.combo.setItemData(index, name_or_file, Qt.ItemDataRole.ToolTipRole)
            self.combo.setCurrentIndex(index)

    def show_loading(self, name_or_file: str) -> None:
        """Say that a model is on its way."""
        self.show_asked(name_or_file)
        spec = CATALOG.get(name_or_file) if name_or_file in CATALOG else None
        download = spec is not None and not spec.bundled and find(spec) is None
        self.info.setText("Downloading…" if download else "Loading…")
        self.cancel_button.setVisible(download)

    def show_download(self, progress: DownloadProgress) -> None:
        """Say how far a download is."""
        done, total = progress.done, progress.total
        self.info.setText(
            f"Downloading: {done / 1e6:.0f} of {total / 1e6:.0f} MB" if done < total else "Loading…"
        )
        self.cancel_button.setVisible(done < total)

    def show_model(self, state: ModelState) -> None:
        """Show the model in use."""
        self.cancel_button.hide()
        device = {"cpu": "CPU", "cuda": "GPU (CUDA)", "mps": "GPU (Apple)"}.get(state.device, state.device)
        self.info.setText(f"Runs on {device} · licence {state.licence}")

    def show_failed(self) -> None:
        """Say that there is no model."""
        self.cancel_button.hide()
        self.info.setText("No model is loaded; choose one above")

    def _ask_for_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose a checkpoint file", "", _FILES)
        if path:
            self.show_asked(path)
            self.model_chosen.emit(path)
