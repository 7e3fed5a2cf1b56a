"""Which factors the overview of the Diagnostics panel has room for."""

import pytest

pytest.importorskip("qtpy")

from napari_sam_med.evaluation.statistics import Correlation
from napari_sam_med.gui.widgets.diagnostics_draw import OVERVIEW_BARS, strongest


def correlation(rho):
    return Correlation(rho, 20, 0.5)


def test_the_strongest_factors_are_shown_and_the_chosen_one_always():
    table = {f"f{i}": correlation((-1) ** i * i / 20) for i in range(12)}
    table["constant"] = correlation(float("nan"))
    assert strongest(table, None) == [f"f{i}" for i in range(6, 12)]
    with_chosen = strongest(table, "constant")
    assert with_chosen == [*(f"f{i}" for i in range(7, 12)), "constant"]
    assert len(with_chosen) == OVERVIEW_BARS


def test_few_factors_are_all_shown_in_their_order():
    table = {"b": correlation(0.1), "a": correlation(-0.9)}
    assert strongest(table, "a") == ["b", "a"]
