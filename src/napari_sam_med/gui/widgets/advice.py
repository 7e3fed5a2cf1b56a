"""Advice on objects that look like vessels: one line, with the rest on demand."""

from __future__ import annotations

import pandas as pd
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QToolButton, QVBoxLayout, QWidget

from napari_sam_med.factors import VESSEL_ADVICE, is_vessel_like
from napari_sam_med.gui.widgets.evaluate_controls import row

_SIGNS = ["skeleton_ratio", "area_box_ratio", "boundary_complexity_full", "components"]


class AdviceStrip(QFrame):
    """Says how many objects look like vessels, and what to do about them; hidden where none does."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.more = QToolButton()
        self.more.setText("What to do")
        self.more.setCheckable(True)
        self.more.setAutoRaise(True)
        self.more.setToolTip(VESSEL_ADVICE)
        self.text = QLabel(VESSEL_ADVICE)
        self.text.setWordWrap(True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.hide()
        self.more.toggled.connect(self.text.setVisible)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(row(self.label, self.more, stretch=0))
        column.addWidget(self.text)
        self.hide()

    def show_table(self, frame: pd.DataFrame) -> None:
        """Count the objects of a table of scores, each slice and object once."""
        flagged = vessel_like(frame)
        places = [name for name in ("case", "axis", "slice", "label") if name in frame]
        known = frame[places].assign(flagged=flagged).drop_duplicates(places)
        count = int(known["flagged"].sum())
        self.label.setText(f"⚠ {count} of {len(known)} objects look like vessels.")
        self.label.setToolTip("Every slice of an object counts once.")
        self.setVisible(count > 0)


def vessel_like(frame: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are about an object that looks like a vessel: as the table says, or by its factors."""
    if "vessel_like" in frame:
        return frame["vessel_like"].fillna(0).astype(bool)
    known = frame.reindex(columns=_SIGNS).astype(float)
    values = [is_vessel_like(dict(zip(_SIGNS, each, strict=True))) for each in known.to_numpy()]
    return pd.Series(values, index=frame.index, dtype=bool)
