"""The output folder of an evaluation as one document that can be read, printed and passed on."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from napari_sam_med import __version__
from napari_sam_med.core.errors import OutputError
from napari_sam_med.core.folders import make_folder
from napari_sam_med.evaluation.report_blocks import (
    NOTHING,
    Document,
    Section,
    count,
    interval,
    listing,
    number,
)
from napari_sam_med.evaluation.report_compare import clicks_section, differences_section, gap_section
from napari_sam_med.evaluation.report_load import ReportData, load_report_data
from napari_sam_med.evaluation.report_maker import Maker
from napari_sam_med.evaluation.report_methods import methods_section, reproducibility_section, sources_section
from napari_sam_med.evaluation.report_reasons import atlas_section, calibration_section, factors_section
from napari_sam_med.evaluation.report_results import data_section, objects_section, overlap_section
from napari_sam_med.evaluation.report_robustness import robustness_section
from napari_sam_med.evaluation.report_tables import records, volume_means

HTML = "report.html"
KEY = "case_key.csv"
N_WORST = 12


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes
    ----------
    html : Path
        The document; nothing else is needed to read it.
    tables, figures : list of Path
        CSV files, PNG and SVG files.
    key : Path, optional
        Which case is which, if the document calls them otherwise; to be kept, not passed on.
    partial : str
        What of the run is missing; "" if it is whole.
    """

    html: Path
    tables: list[Path]
    figures: list[Path]
    key: Path | None
    partial: str


def write_report(
    folder: Path,
    output: Path | None = None,
    *,
    robustness: Path | None = None,
    naming: str = "auto",
    n_worst: int = N_WORST,
    title: str = "",
    today: date | None = None,
) -> Report:
    """Make a report of the output folder of ``evaluate``: one HTML file, its tables and figures as files beside it.

    Parameters
    ----------
    folder : Path
        What ``evaluate`` wrote, also in a run that was interrupted.
    output : Path, optional
        Folder for the report; ``report`` inside `folder` by default.
    robustness : Path, optional
        Output folder of the robustness lab; by default `folder` or one inside it.
    naming : str
        How cases are named, see ``report_names.NAMINGS``.
    n_worst : int
        Pictures in the failure atlas, at most.
    title : str
        Made from models and strategies by default.
    today : date, optional

    Returns
    -------
    Report

    Raises
    ------
    InputError
        If the folder holds no scores.
    OutputError
        If a file cannot be written.
    """
    data = load_report_data(folder, robustness, naming)
    output = folder / "report" if output is None else output
    maker = Maker(make_folder(output))
    document = Document(
        title or _title(data),
        "Prompts simulated from the truth, masks scored against it",
        f"{(today or date.today()).isoformat()}, napari-sam-med {__version__}",
        data.partial,
        _glance(data),
        _sections(data, maker, n_worst),
    )
    html = output / HTML
    _write(html, render(document))
    key = _write_key(data, output / KEY)
    return Report(html, maker.written, maker.figures.written, key, data.partial)


def render(document: Document) -> str:
    """A document as HTML; all text is escaped."""
    environment = Environment(
        loader=PackageLoader("napari_sam_med.evaluation", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=_unbreakable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(document=document)


def _unbreakable(value: Any) -> Any:
    """Text in which a number keeps its percent sign beside it."""
    return value.replace(" %", "\u00a0%") if type(value) is str else value


def _sections(data: ReportData, maker: Maker, n_worst: int) -> list[Section]:
    sections = [data_section(data, maker)]
    if len(data.scored):
        found: Sequence[Section | None] = (
            overlap_section(data, maker),
            objects_section(data, maker),
            differences_section(data, maker),
            gap_section(data, maker),
            clicks_section(data, maker),
            factors_section(data, maker),
            robustness_section(data, maker),
            calibration_section(data, maker),
            atlas_section(data, maker, n_worst),
        )
        sections += [
            Section("results", "Results", []),
            *(section for section in found if section is not None),
        ]
    return [*sections, methods_section(data), reproducibility_section(data, maker), sources_section(data)]


def _title(data: ReportData) -> str:
    models = data.models or list(data.config.get("models") or [])
    return f"Evaluation of {listing(models)}" if models else "Evaluation"


def _glance(data: ReportData) -> list[str]:
    """The findings that a reader in a hurry takes away."""
    if data.scored.empty:
        return ["Nothing was scored; the reasons are listed below."]
    lines = []
    for rule in data.rules[:2]:
        means = (
            volume_means(data.rows(rule))
            .dropna(subset="mean")
            .sort_values("mean", ascending=False, kind="stable")
        )
        if means.empty:
            return ["No row has a Dice."]
        best, last = records(means)[0], records(means)[-1]
        least = ""
        if len(means) > 1:
            least = f"; the worst was {last['model']} with {last['strategy']}, {number(last['mean'])}"
        bounds = interval(best["low"], best["high"])
        within = f", 95 % interval {bounds}" if bounds != NOTHING else ""
        lines.append(
            f"Rule {rule}: the best mean Dice by volume was {number(best['mean'])}{within}, of {best['model']} with "
            f"{best['strategy']} ({count(int(best['n_volumes']), 'volume')}){least}."
        )
    failed = int((data.table["error"] != "").sum())
    lines.append(f"{count(failed, 'row')} could not be scored." if failed else "No row failed.")
    return lines


def _write_key(data: ReportData, path: Path) -> Path | None:
    """Which case is which; removed where the document uses the ids themselves."""
    if all(case == name for case, name in data.names.items()):
        path.unlink(missing_ok=True)
        return None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("case_in_report", "case"), *((name, case) for case, name in data.names.items())])
    _write(path, text.getvalue())
    return path


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(
            f"{path.name} cannot be written: {error.strerror or error}. Choose another folder or free space."
        ) from error
