"""``napari-sam-med report``: a document of an evaluation's output folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam_med.cli import console, options

_NAMES_HELP = (
    "Cases in the document: auto numbers those named after a file or folder (often patients' names), keep shows all "
    "names, number shows none."
)


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="What `evaluate` wrote (its -o).", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for the report.", show_default="DIR/report"
        ),
    ] = None,
    robustness: Annotated[
        Path | None,
        typer.Option(
            "--robustness",
            metavar="DIR",
            help="What `robustness` wrote.",
            show_default="DIR or a folder in it",
        ),
    ] = None,
    names: Annotated[str, typer.Option("--names", metavar="auto|keep|number", help=_NAMES_HELP)] = "auto",
    worst: Annotated[
        int, typer.Option("--worst", metavar="N", min=0, help="Pictures in the failure atlas.")
    ] = 12,
    title: Annotated[
        str, typer.Option("--title", metavar="TEXT", help="Of the document.", show_default=False)
    ] = "",
) -> None:
    """Make a document of an evaluation: tables, figures, the worst answers, methods and versions in one HTML file.

    The file needs nothing else: it opens in any browser, prints, and can be passed on. Its tables (CSV) and figures
    (PNG, SVG) lie beside it. It holds no folder of this computer. A run that was interrupted gives a partial report.
    """
    from napari_sam_med.evaluation.report import write_report
    from napari_sam_med.evaluation.report_names import check_naming

    options.as_usage("--names", lambda: check_naming(names))
    made = write_report(folder, output, robustness=robustness, naming=names, n_worst=worst, title=title)
    if made.partial:
        console.warn(made.partial)
    if made.key is not None:
        console.say(f"Cases are numbered; {made.key} says which is which. Keep it to yourself.")
    console.say(f"Saved {made.html} ({len(made.tables)} tables, {len(made.figures)} figures beside it)")
