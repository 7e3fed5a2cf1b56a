"""The model's candidates for a prompt, best first."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QWidget

from napari_sam_med.gui.controller import CANDIDATES

_ASK = "A prompt gives up to three candidates, the one with the highest predicted score first"


class CandidateChooser(QWidget):
    """One button a candidate with its predicted IoU.

    Attributes
    ----------
    chosen : Signal(int)
        Position of the candidate the user pressed, 0 for the best.
    """

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self._group = QButtonGroup(self)
        self.buttons: list[QPushButton] = []
        for position in range(CANDIDATES):
            button = QPushButton()
            button.setCheckable(True)
            self._group.addButton(button, position)
            self.buttons.append(button)
            layout.addWidget(button, 1)
        self._group.idClicked.connect(self.chosen.emit)
        self.show_scores((), 0)

    def show_scores(self, scores: Sequence[float], chosen: int) -> None:
        """Show as many candidates as there are scores; none disables the buttons."""
        self._group.setExclusive(bool(scores))
        for position, button in enumerate(self.buttons):
            there = position < len(scores)
            button.setEnabled(there)
            button.setText(f"{position + 1}:  {scores[position]:.2f}" if there else f"{position + 1}:  –")
            button.setChecked(there and position == chosen)
            button.setToolTip(
                f"Candidate {position + 1}: the model expects an overlap (IoU) of {scores[position]:.2f}"
                if there
                else _ASK
            )
