"""Which factors the partial correlations of the Diagnostics panel have room for."""

import pandas as pd
import pytest

pytest.importorskip("qtpy")

from napari_sam_med.gui.widgets.diagnostics_draw import MOST_FACTORS, strongest


def table(rhos):
    return pd.DataFrame({"factor": list(rhos), "partial_rho": list(rhos.values())})


def test_the_strongest_factors_are_shown_and_the_chosen_one_always():
    rhos = {f"f{i}": (-1) ** i * i / 20 for i in range(14)}
    found = table({**rhos, "constant": float("nan")})
    shown = strongest(found, None)
    assert set(shown) == {f"f{i}" for i in range(14 - MOST_FACTORS, 14)}
    with_chosen = strongest(found, "f0")
    assert "f0" in with_chosen
    assert len(with_chosen) == MOST_FACTORS
    assert set(with_chosen) - {"f0"} == {f"f{i}" for i in range(15 - MOST_FACTORS, 14)}


def test_few_factors_are_all_shown():
    assert strongest(table({"b": 0.1, "a": -0.9}), "a") == ["a", "b"]
