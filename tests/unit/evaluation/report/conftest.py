"""One report of made-up scores that tests of the report share."""

from datetime import date

import pytest

from fixtures.report_page import Page
from fixtures.score_folder import failed_row, made_up_rows, write_folder
from napari_sam_med.evaluation import report_reasons, report_tables
from napari_sam_med.evaluation.report import write_report
from napari_sam_med.evaluation.table import read_table


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    rows = [*made_up_rows(), failed_row("d"), failed_row("e")]
    return write_folder(tmp_path_factory.mktemp("run") / "out", rows)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Fewer samples and panels, but for the one report that tests share, which is made before this."""
    monkeypatch.setattr(report_tables, "N_FACTOR_SAMPLES", 20)
    drawn = report_reasons.factors_figure
    monkeypatch.setattr(
        report_reasons, "factors_figure", lambda table, titles: drawn(table, dict(list(titles.items())[:1]))
    )


@pytest.fixture(scope="session")
def made(folder):
    return write_report(folder, today=date(2026, 1, 2))


@pytest.fixture(scope="session")
def page(made):
    return Page(made.html)


@pytest.fixture(scope="session")
def scored(folder):
    table = read_table(folder / "scores.csv")
    return table[table["error"] == ""]
