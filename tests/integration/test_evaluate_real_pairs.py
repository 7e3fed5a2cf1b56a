"""Every real image with truth goes through the evaluation, two slices each, without an error."""

import csv

import pytest

from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.evaluation.config import Case, EvaluationConfig
from napari_sam_med.evaluation.runner import iter_scores
from napari_sam_med.evaluation.table import rows_to_table, summary
from napari_sam_med.inference.session import Session


@pytest.mark.shared_data
@pytest.mark.parametrize("split", ["dev", "train"])
def test_every_pair_is_scored_without_errors(shared_data, split):
    with (shared_data / "pairs.csv").open(newline="", encoding="utf-8") as file:
        pairs = [row for row in csv.DictReader(file) if row["split"] == split]
    cases = tuple(Case(row["id"], shared_data / row["image"], shared_data / row["label"]) for row in pairs)
    config = EvaluationConfig(models=("fake", "ellipse", "otsu"), cases=cases, max_slices=2)
    table = rows_to_table(iter_scores(config, lambda name: Session(FakeSegmenter())))

    assert table.loc[table["error"] != "", ["case", "error"]].values.tolist() == []
    assert set(table["case"]) == {row["id"] for row in pairs}
    assert table.groupby("case")["slice"].nunique().max() <= 2
    assert table["dice"].between(0, 1).all()
    assert (table["size_px"] > 50).all()
    means = summary(table).set_index(["model", "strategy", "rule"])["dice"]
    assert means["otsu", "S5", "oracle"] >= means["otsu", "S5", "score"]
    # prompts follow the truth through every orientation and spacing, or a box would not fit its object
    assert means["fake", "S5", "score"] > 0.6
    assert 0.7 < means["ellipse", "S5", "score"] < 0.95
