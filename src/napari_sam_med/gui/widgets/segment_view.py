"""The controls of the Segment panel and their layout; what they do is wired in ``segment``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_sam_med.core.volume import Volume
from napari_sam_med.gui.widgets.candidate_chooser import CandidateChooser
from napari_sam_med.gui.widgets.encode_bar import EncodeBar
from napari_sam_med.gui.widgets.evaluate_controls import LayerChooser, MessageStrip, ScrollPanel
from napari_sam_med.gui.widgets.model_chooser import ModelChooser
from napari_sam_med.gui.widgets.object_table import ObjectTableView
from napari_sam_med.gui.widgets.segment_keys import KEYS
from napari_sam_med.gui.widgets.target_chooser import TargetChooser
from napari_sam_med.gui.widgets.window_control import WindowControl

if TYPE_CHECKING:
    import napari

_MODES = (
    ("add", "Add to object", "The mask joins what the object has in this slice"),
    ("replace", "Replace in slice", "The mask becomes all that the object has in this slice"),
    ("subtract", "Remove from object", "The mask is cut out of the object in this slice"),
)


class SegmentView(QWidget):
    """All controls, from top to bottom: image, window, model, prompt, objects, slices, saving.

    Parameters
    ----------
    viewer : napari.Viewer
        Offers its layers.
    """

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scroll = ScrollPanel(self)
        self._image_section(viewer)
        self.window_control = WindowControl()
        self._section("Window", self.window_control)
        self.model = ModelChooser()
        self._section("Model", self.model)
        self._prompt_section()
        self._object_section(viewer)
        self.encode = EncodeBar()
        self._section("Encoded slices", self.encode)
        self.save = _button(
            "Save objects…", "", "Save as NIfTI, NRRD or MetaImage on the exact grid of the image's file"
        )
        self._scroll.column.addStretch(1)
        self.message = MessageStrip()
        self.message.setContentsMargins(6, 2, 6, 4)
        self.message.button.setToolTip("Add a copy of the labels on the image's grid, by nearest neighbour")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self._scroll, 1)
        # no text may be cut off: the narrowest panel is as wide as its widest row
        bar = self._scroll.verticalScrollBar().sizeHint().width()
        self._scroll.setMinimumWidth(self._scroll.body.minimumSizeHint().width() + bar)
        footer = QVBoxLayout()
        footer.setContentsMargins(6, 4, 6, 4)
        footer.addWidget(self.save)  # outside the scroll area, so that no screen is too low for it
        outer.addLayout(footer)
        outer.addWidget(self.message)

    def show_volume(self, volume: Volume | None) -> None:
        """Show the facts of the image; without one there is nothing to prompt."""
        for widget in (self.box, self.positive, self.negative, self.live, self.mode, self.overwrite):
            widget.setEnabled(volume is not None)
        if volume is None:
            self.facts.setText("No image yet")
            self.window_control.set_volume(None, (0.0, 1.0))
            return
        size = " × ".join(str(n) for n in volume.shape)
        spacing = " × ".join(f"{s:.3g}" for s in volume.spacing_mm)
        parts = [f"{size} voxels", f"{spacing} mm", volume.modality]
        if volume.n_times > 1:
            parts.insert(1, f"{volume.n_times} time points")
        self.facts.setText(" · ".join(part for part in parts if part))

    def _image_section(self, viewer: napari.Viewer) -> None:
        self.image = LayerChooser(viewer, Image)
        self.image.setToolTip("The image to segment")
        self.facts = QLabel()
        self.facts.setWordWrap(True)
        self.facts.setToolTip("Size and voxel spacing of the image")
        self._section("Image", self.image, self.facts)

    def _prompt_section(self) -> None:
        self.box = _button(
            "Box", KEYS["box"], "Draw a box around the object; the last or the selected box of a slice counts"
        )
        self.positive = _button(
            "+ Point", KEYS["point"], "Click on the object; the key switches between + and − points"
        )
        self.negative = _button("− Point", KEYS["point"], "Click on what does not belong to the object")
        for button in (self.box, self.positive, self.negative):
            button.setCheckable(True)
        self.live = QCheckBox("Live")
        self.live.setChecked(True)
        self.live.setToolTip("Segment as soon as a prompt changes; else press Segment")
        self.segment = _button(
            "Segment", KEYS["segment"], "Segment the slice on screen by its points and box"
        )
        self.clear_prompts = _button(
            "Clear", KEYS["clear"], "Remove the points and boxes of the slice on screen"
        )
        self.candidates = CandidateChooser()
        self.next = _button("Next", KEYS["next"], "Show the model's next candidate")
        self.status = QLabel()
        self.status.setToolTip("What the model is doing")
        self.status.setWordWrap(True)
        self._section(
            "Prompt",
            row_of(self.box, self.positive, self.negative),
            row_of(self.segment, self.clear_prompts, self.live),
        )
        self._section(
            "Candidates by predicted overlap", row_of(self.candidates, self.next, widths=(3, 1)), self.status
        )

    def _object_section(self, viewer: napari.Viewer) -> None:
        self.accept = _button("Accept", KEYS["accept"], "Write the candidate into the selected object")
        self.undo = _button(
            "Undo", KEYS["undo"], "Take back the last prompt, accepted mask or cleared object"
        )
        self.clear_object = _button("Erase", "", "Erase the selected object from the slice on screen")
        self.target = TargetChooser(viewer)
        self.objects = ObjectTableView()
        self.add_object = _button("New", KEYS["object"], "Start another object with a colour of its own")
        self.mode = QComboBox()
        self.mode.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.mode.setMinimumContentsLength(10)
        self.mode.setToolTip("How an accepted mask joins the object in this slice")
        for name, title, tip in _MODES:
            self.mode.addItem(title, name)
            self.mode.setItemData(self.mode.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.overwrite = QCheckBox("Overwrite others")
        self.overwrite.setToolTip(
            "Whether a mask may take voxels of other objects; finished objects are never changed"
        )
        self._section(
            "Objects",
            row_of(self.accept, self.undo),
            row_of(self.mode, self.overwrite),
            self.target,
            self.objects,
            row_of(self.add_object, self.clear_object),
        )

    def _section(self, title: str, *widgets: QWidget) -> None:
        column = self._scroll.column
        if column.count():
            column.addSpacing(4)
        for widget in (QLabel(f"<b>{title}</b>"), *widgets):
            column.addWidget(widget)


def value_bounds(volume: Volume) -> tuple[float, float]:
    """Least and greatest voxel value, from an evenly spaced sample of about a million voxels."""
    flat = volume.data.reshape(-1) if volume.data.flags.c_contiguous else volume.data
    if flat.ndim == 1:
        sample = flat[:: max(1, flat.size // 1_000_000)]
    else:
        step = max(1, round((flat.size / 1_000_000) ** (1 / 3)))
        sample = flat[..., ::step, ::step, ::step]
    values = np.asarray(sample, np.float32)
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)


def row_of(*widgets: QWidget, widths: Sequence[int] = ()) -> QWidget:
    """Widgets side by side, all of the same width unless `widths` says how they share it."""
    holder = QWidget()
    line = QHBoxLayout(holder)
    line.setContentsMargins(0, 0, 0, 0)
    line.setSpacing(6)
    for widget, share in zip(widgets, widths or [1] * len(widgets), strict=True):
        line.addWidget(widget, share)
    return holder


def _button(text: str, key: str, tip: str) -> Any:
    button = QPushButton(f"{text} ({key})" if key else text)
    button.setToolTip(f"{tip} (key {key}, with the mouse over the image)" if key else tip)
    return button
