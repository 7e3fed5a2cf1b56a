import numpy as np
import pytest
from matplotlib.figure import Figure

from fixtures.fake_segmenter import FakeSegmenter
from fixtures.labelled_volumes import boxes_pair
from napari_sam_med.core.errors import InputError, OutputError
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.figures import draw_factor, draw_histogram, draw_strategies, save_figures
from napari_sam_med.evaluation.runner import iter_pair_scores
from napari_sam_med.evaluation.table import rows_to_table
from napari_sam_med.factors import FACTORS
from napari_sam_med.inference.session import Session


@pytest.fixture(scope="module")
def table():
    image, labels = boxes_pair(noise=5)
    config = EvaluationConfig(models=("fake",), strategies=("S2", "S5"))
    return rows_to_table(iter_pair_scores(image, labels, config, lambda name: Session(FakeSegmenter())))


@pytest.mark.parametrize("factor", list(FACTORS))
def test_a_factor_is_drawn_with_rho_and_n_and_dots_lead_back_to_rows(table, factor):
    axes = Figure().add_subplot()
    part = table[(table["strategy"] == "S2") & (table["rule"] == "score")]
    shown = draw_factor(axes, part, factor)
    assert shown == list(part.index)
    assert f"n = {len(part)}" in axes.get_title()
    dots = axes.collections[0].get_offsets()
    np.testing.assert_allclose(dots, part.loc[shown, [factor, "dice"]])
    assert FACTORS.get(factor).title in axes.get_xlabel()


def test_unknown_names_are_refused(table):
    with pytest.raises(InputError):
        draw_factor(Figure().add_subplot(), table.assign(nonsense=1.0), "nonsense")


def test_empty_tables_say_so(table):
    for draw in (draw_strategies, draw_histogram, lambda a, t: draw_factor(a, t, "size_px")):
        axes = Figure().add_subplot()
        draw(axes, table.iloc[:0])
        assert len(axes.texts) == 1
        assert not axes.axison


def test_figures_are_saved_as_png_and_svg(table, tmp_path):
    paths = save_figures(table, tmp_path)
    assert paths
    assert sorted(paths) == sorted(tmp_path.iterdir())
    assert {path.suffix for path in paths} == {".png", ".svg"}
    assert all(path.stat().st_size > 1000 for path in paths)
    assert any("S2" in path.name for path in paths)
    with pytest.raises(OutputError):
        save_figures(table, tmp_path / "missing")


def test_model_names_become_safe_file_names(table, tmp_path):
    odd = table[table["strategy"] == "S5"].assign(model="my/model: é.pth")
    assert all(path.parent == tmp_path for path in save_figures(odd, tmp_path))
