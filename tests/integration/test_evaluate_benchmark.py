"""The benchmark over a list of pairs: how cases are read and averaged."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.evaluation.table import rows_to_table
from napari_sam_med.factors import FACTORS
from napari_sam_med.metrics import METRICS
from napari_sam_med.prompts import STRATEGIES

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "score_pairs.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("score_pairs", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(dice, case, label=1, model="builtin", rule="score", error=""):
    metrics = {**dict.fromkeys(METRICS, 1.0), "dice": dice}
    factors = dict.fromkeys(FACTORS, 1.0)
    return ScoreRow(case, "axial", 1, label, "x", model, "S5", rule, 0, 0.5, metrics, factors, error)


def test_pairs_of_a_split_with_modality_and_union(benchmark, tmp_path):
    (tmp_path / "pairs.csv").write_text(
        "id,split,what,image,label,use\n"
        'a,dev,"CT (DICOM), liver",a/image,a/label.nrrd,big\n'
        'hippo_1,dev,"MR T1, crop",b.nii,c.nii,"flat cut, use union"\n'
        "b,train,PET (SUV),d.nii,e.nii,hot\n"
    )
    cases = benchmark.read_pairs(tmp_path / "pairs.csv", ["dev"])
    assert [(c.id, c.modality, c.unite_labels) for c in cases] == [
        ("a", "CT", False),
        ("hippo_1", "MR", True),
    ]
    assert cases[0].image == tmp_path / "a" / "image"
    assert [c.modality for c in benchmark.read_pairs(tmp_path / "pairs.csv", ["train"])] == ["PT"]


def test_pictures_are_cases_of_their_image(benchmark, tmp_path):
    for name in ("images/one_1.png", "masks/one_1_liver_000.png", "masks/one_1_spleen_000.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    listed = {"data/masks/one_1_liver_000.png": "data/images/one_1.png"}
    (tmp_path / "label2image_test.json").write_text(json.dumps(listed))
    cases = benchmark.read_pictures(tmp_path)
    assert [c.id for c in cases] == ["one_1/one_1_liver_000", "one_1/one_1_spleen_000"]
    assert {c.image.name for c in cases} == {"one_1.png"}
    assert {benchmark.pair_of(c.id) for c in cases} == {"one_1"}


def test_means_over_slices_objects_pairs_with_the_hippocampi_as_one(benchmark):
    rows = [row(1.0, "a"), row(0.0, "a"), row(0.7, "a", label=2)]
    rows += [row(0.2, "hippo_1"), row(0.4, "hippo_2"), row(0.9, "hippo_2", error="failed")]
    means = benchmark.pair_means(rows_to_table(rows))["builtin", "S5", "score"]
    assert means.to_dict() == pytest.approx({"a": 0.6, "hippocampi": 0.3})


def test_the_report_names_failures_and_the_better_side_of_otsu(benchmark):
    rows = [row(0.8, "a"), row(0.6, "b")]
    rows += [row(0.5, case, model="otsu", rule=rule) for case in "ab" for rule in ("score", "oracle")]
    rows += [row(0.4, case, model="ellipse", rule=rule) for case in "ab" for rule in ("score", "oracle")]
    rows.append(ScoreRow("c", error="c.nii is no image."))
    text = benchmark.markdown(rows_to_table(rows))
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert ["builtin", "S5", "score", "0.700", "0.600-0.800", "2", "2", "2", "0"] in lines
    assert sum(line[0] == "ellipse" for line in lines) == 1
    assert ["pair (S5)", "builtin (score)", "otsu (oracle)", "ellipse (score)"] in lines
    assert ["a", "0.800", "0.500", "0.400"] in lines
    assert "c.nii is no image." in text


def test_rows_and_errors_of_each_strategy_are_counted_those_that_failed_throughout_too(benchmark):
    rows = [row(0.8, "a"), row(0.6, "b", error="failed"), row(0.5, "a", model="ellipse")]
    rows += [replace(row(0.1, "a", error="failed"), strategy="S1")]
    lines = benchmark.markdown(rows_to_table(rows)).splitlines()
    assert {"| S5 | 3 | 1 |", "| S1 | 1 | 1 |"} <= set(lines)


def test_without_a_box_there_is_no_table_of_boxes(benchmark):
    text = benchmark.markdown(rows_to_table([replace(row(0.8, "a"), strategy="S2")]))
    assert "| builtin | S2 | score | 0.800 |" in text
    assert "pair (S5)" not in text


def test_strategies_slices_and_grid_reach_the_run(benchmark, tmp_path, monkeypatch):
    configs = []

    def run_evaluation(config, folder, workers):
        configs.append(config)
        folder.mkdir(exist_ok=True)
        return rows_to_table([row(0.8, "a")])

    monkeypatch.setattr(benchmark, "run_evaluation", run_evaluation)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("id,split,what,image,label,use\na,dev,CT,a.nii,b.nii,\n")
    given = [pairs, "-o", tmp_path / "out", "--strategies", "all", "--grid", "8", "--max-slices", "2"]
    monkeypatch.setattr("sys.argv", ["score_pairs", *map(str, given)])
    assert benchmark.main() == 0
    assert configs[0].strategies == STRATEGIES.names()
    assert (configs[0].max_slices, configs[0].everything.points_per_side) == (2, 8)
    assert "| S5 | 1 | 0 |" in (tmp_path / "out" / "table.md").read_text()
