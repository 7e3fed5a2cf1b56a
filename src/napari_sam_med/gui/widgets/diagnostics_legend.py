"""Colours and words of a failure that is shown in the viewer, and the bar that belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pandas as pd
from napari.utils.colormaps import Colormap
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_sam_med.metrics.regions import HOLE, ISLAND, LEAK, MEANINGS, MISS, NAMES, ErrorRegion

# Told apart by colour-blind eyes, on grey tissue and on black air: what is missed is warm, what is extra is cold.
ERROR_COLOURS = {MISS: "#ff8c1a", HOLE: "#ffd199", LEAK: "#4db8ff", ISLAND: "#b48cff"}
TRUTH_COLOUR = "#3ddc84"
PREDICTION_COLOUR = "#fff04d"
PROMPT_COLOUR = "#ffffff"
BOUNDARY_COLORMAP = Colormap(
    [ERROR_COLOURS[MISS], "#ffffff", ERROR_COLOURS[LEAK]], name="boundary error", nan_color=[0, 0, 0, 0]
)


class OverlayBar(QFrame):
    """Legend of the overlay, with what can be done about it; for as long as something is shown."""

    hide_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.legend = QLabel(legend_html())
        self.legend.setWordWrap(True)  # the panel is never wider than its dock
        self.legend.setToolTip(legend_tooltip())
        self.boundary = QCheckBox("Boundary error")
        self.boundary.setToolTip(
            "Colour the prediction's outline by its distance to the truth's outline: blue outside, orange inside."
        )
        self.hide_button = QPushButton("Hide")
        self.hide_button.setToolTip("Take the overlay away and show the label layers again that it hid.")
        self.hide_button.clicked.connect(self.hide_asked)
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        buttons.addWidget(self.boundary, 1)
        buttons.addWidget(self.hide_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.legend)
        column.addLayout(buttons)
        self.hide()

    def show_range(self, limits: tuple[float, float] | None) -> None:
        """Say how far the outline is off, inside and outside."""
        text = "Boundary error"
        if limits is not None:
            low, high = (f"{value:+.1f}".replace("-", "−") for value in limits)
            text = f"Boundary {low} to {high} mm"
        self.boundary.setText(text)


def legend_html() -> str:
    """Colours of the overlay as lines of rich text, on a dark ground as in the image, for every theme."""
    areas = [("■", colour, NAMES[kind]) for kind, colour in ERROR_COLOURS.items()]
    lines = [
        ("○", TRUTH_COLOUR, "truth"),
        ("○", PREDICTION_COLOUR, "prediction"),
        ("+", PROMPT_COLOUR, "prompt"),
    ]
    return "<br>".join(
        " ".join(
            f"<span style='color:{colour}; background-color:#2b2b2b'>&nbsp;{mark}&nbsp;</span>&nbsp;{text}&nbsp;"
            for mark, colour, text in entries
        )
        for entries in (areas, lines)
    )


def legend_tooltip() -> str:
    """What the colours mean, a line each."""
    kinds = [f"{NAMES[kind]}: {MEANINGS[kind]}" for kind in ERROR_COLOURS]
    return "\n".join([*kinds, "prompt: its box, + positive and × negative points"])


def region_features(regions: Sequence[ErrorRegion]) -> pd.DataFrame:
    """What napari says about a value of the error layer: its kind, how many regions, how large, how far they go."""
    rows = []
    for kind, name in NAMES.items():
        found = [region for region in regions if region.kind == kind]
        size = f"{sum(region.size_mm for region in found):.0f} mm²"
        reach = max((region.reach_mm for region in found), default=0.0)
        rows.append({"index": kind, "error": name, "regions": len(found), "area": size, "reach": _mm(reach)})
    nothing = {"index": 0, "error": "", "regions": 0, "area": "", "reach": ""}
    return pd.DataFrame([nothing, *rows])


def regions_text(regions: Sequence[ErrorRegion]) -> str:
    """ "2 leaks (to 5.1 mm, 34 mm²), 1 hole (12 mm²)": kinds by their area, largest first; "" without regions."""
    parts = []
    by_kind = {k: list(g) for k, g in groupby(sorted(regions, key=lambda r: r.kind), key=lambda r: r.kind)}
    for kind, found in sorted(by_kind.items(), key=lambda item: -sum(r.size_mm for r in item[1])):
        name = NAMES[kind] if len(found) == 1 else {MISS: "misses"}.get(kind, NAMES[kind] + "s")
        area = f"{sum(r.size_mm for r in found):.0f} mm²"
        reach = max(r.reach_mm for r in found)
        far = f"up to {_mm(reach)}, " if np.isfinite(reach) else ""
        parts.append(f"{len(found)} {name} ({far}{area})")
    return ", ".join(parts)


def _mm(value: float) -> str:
    return f"{value:.1f} mm" if np.isfinite(value) else "–"
