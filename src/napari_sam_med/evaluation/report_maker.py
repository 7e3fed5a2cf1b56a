"""Makes the numbered tables and figures of a report and keeps their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from napari_sam_med.core.errors import OutputError
from napari_sam_med.evaluation.report_blocks import Counter, Gallery, Group, Picture, Table
from napari_sam_med.evaluation.report_figures import Gatherer

TABLES, FIGURES = "tables", "figures"


class Maker:
    """Numbers tables and figures in the order in which they are made.

    Parameters
    ----------
    folder : Path
        Where the files go: CSV into ``tables``, PNG and SVG into ``figures``. Exists.

    Raises
    ------
    OutputError
        If the folders cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._counter = Counter()
        self._tables = folder / TABLES
        try:
            self._tables.mkdir(exist_ok=True)
            (folder / FIGURES).mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{folder.name} cannot be written: {error.strerror or error}. Choose another folder or free space."
            ) from error
        self.figures = Gatherer(folder / FIGURES)
        self.written: list[Path] = []

    def table(
        self,
        caption: str,
        columns: list[str],
        groups: list[Group],
        source: pd.DataFrame | None = None,
        name: str = "",
        note: str = "",
        n_texts: int = 1,
    ) -> Table:
        """A table; its `source` in full precision becomes the file ``tables/<name>.csv``."""
        file = self.save(source, name) if source is not None and len(source) else ""
        return Table(self._counter.table(), caption, columns, groups, note, n_texts, file)

    def save(self, table: pd.DataFrame, name: str) -> str:
        """Write a table as CSV.

        Returns
        -------
        str
            Its place beside the document.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        path = self._tables / f"{name}.csv"
        try:
            table.to_csv(path, index=False)
        except OSError as error:
            raise OutputError(
                f"{path.name} cannot be written: {error.strerror or error}. Choose another folder or free space."
            ) from error
        self.written.append(path)
        return f"{TABLES}/{path.name}"

    def picture(self, figure: Figure, name: str, caption: str, alt: str) -> Picture:
        """A numbered figure, saved as ``figures/<name>.png`` and ``.svg``."""
        uri = self.figures.keep(figure, name)
        return Picture(
            self._counter.figure(), caption, alt, uri, f"{FIGURES}/{self.figures.written[-1].name}"
        )

    def gallery(self, figures: Sequence[tuple[Figure, str, str, str]], caption: str) -> Gallery:
        """Small pictures of images under one number; each (figure, name, caption, alt)."""
        number = self._counter.figure()
        pictures = [
            Picture(number, text, alt, self.figures.keep_pixels(figure, name))
            for figure, name, text, alt in figures
        ]
        return Gallery(number, caption, pictures)
