"""Every real image with truth goes through the robustness lab, one slice each, without an error."""

import csv

import numpy as np
import pytest

from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.evaluation.config import Case, EvaluationConfig
from napari_sam_med.evaluation.robustness import iter_robustness
from napari_sam_med.evaluation.robustness_config import RobustnessConfig
from napari_sam_med.evaluation.robustness_curves import curves
from napari_sam_med.evaluation.robustness_rows import lab_table
from napari_sam_med.inference.session import Session


@pytest.mark.shared_data
def test_every_pair_goes_through_the_lab_without_errors(shared_data):
    with (shared_data / "pairs.csv").open(newline="", encoding="utf-8") as file:
        pairs = [row for row in csv.DictReader(file) if row["split"] == "dev"]
    cases = tuple(Case(row["id"], shared_data / row["image"], shared_data / row["label"]) for row in pairs)
    evaluation = EvaluationConfig(models=("fake", "otsu"), cases=cases, max_slices=1, rules=("score",))
    plans = {}
    table = lab_table(
        iter_robustness(
            RobustnessConfig(evaluation),
            lambda name: Session(FakeSegmenter()),
            lambda plan, n_rows: plans.update({plan.case: n_rows}),
        )
    )
    assert table.loc[table["error"] != "", ["case", "error"]].values.tolist() == []
    assert table.groupby("case").size().to_dict() == plans
    assert table["dice"].between(0, 1).all()
    assert (table["moved_px"].dropna() >= 0).all()
    edges = table[table["mode"] == "edges"]
    assert (edges["moved_px"].fillna(0) <= edges["dose_high"]).all()
    means = curves(table[table["strategy"] == "S5"]).set_index(["model", "mode", "step"])["dice"]
    # the farther a box is off, the less is left; Otsu sees that the picture is blurred, the fake does not look
    for mode, steps in (("edges", ["none", "0-10 px", "20-30 px"]), ("box", ["none", "+50 %", "+100 %"])):
        assert (np.diff([means["otsu", mode, step] for step in steps]) < 0).all()
    assert means["fake", "blur", "8 px"] == pytest.approx(means["fake", "blur", "none"])
    assert means["otsu", "blur", "8 px"] < means["otsu", "blur", "none"]
