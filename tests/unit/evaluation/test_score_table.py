import json
import math

import pytest

from napari_sam_med.core.errors import InputError, OutputError
from napari_sam_med.evaluation.config import Case, EvaluationConfig
from napari_sam_med.evaluation.rows import ScoreRow
from napari_sam_med.evaluation.table import (
    RowWriter,
    columns,
    read_table,
    rows_to_table,
    run_info,
    summary,
    write_json,
)
from napari_sam_med.factors import FACTORS
from napari_sam_med.metrics import METRICS


def row(dice=0.5, case="a", label=1, index=3, strategy="S5", rule="score", **changes):
    metrics = {**dict.fromkeys(METRICS, 1.0), "dice": dice}
    factors = dict.fromkeys(FACTORS, 2.0)
    fields = {"metrics": metrics, "factors": factors, "candidate": 0, "predicted_iou": 0.25, **changes}
    return ScoreRow(case, "axial", index, label, "liver", "fake", strategy, rule, **fields)


FAILED = ScoreRow("b", error='It said "no", twice.\nThen left, with ümlaut.')


def test_columns_hold_identity_metrics_factors_and_the_error_last():
    names = columns()
    assert names[:8] == ["case", "axis", "slice", "label", "label_name", "model", "strategy", "rule"]
    assert names[-1] == "error"
    assert {*METRICS, *FACTORS, "candidate", "predicted_iou"} < set(names)
    assert list(row().as_dict()) == names


def test_what_is_written_is_read_back(tmp_path):
    rows = [row(), row(math.nan), FAILED, row(metrics={**dict.fromkeys(METRICS, math.inf)})]
    path = tmp_path / "scores.csv"
    with RowWriter(path) as writer:
        for each in rows:
            writer.write(each)
    table = read_table(path)
    expected = rows_to_table(rows)
    assert table.dtypes.to_dict() == expected.dtypes.to_dict()
    assert table.equals(expected)
    assert table["error"].iloc[2] == FAILED.error
    assert table["slice"].isna().tolist() == [False, False, True, False]
    assert table["hd_mm"].iloc[3] == math.inf


def test_rows_survive_without_closing(tmp_path):
    path = tmp_path / "scores.csv"
    writer = RowWriter(path)
    writer.write(row())
    writer.write(FAILED)
    assert len(read_table(path)) == 2  # as after a crash
    writer.__exit__(None, None, None)


def test_a_line_that_was_cut_off_is_no_row(tmp_path):
    path = tmp_path / "scores.csv"
    with RowWriter(path) as writer:
        writer.write(row())
        writer.write(row(index=4))
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    assert read_table(path)["slice"].tolist() == [3]
    path.write_bytes(content[:40])
    with pytest.raises(InputError, match=r"scores\.csv"):
        read_table(path)


def test_a_name_like_na_stays_text(tmp_path):
    with RowWriter(tmp_path / "s.csv") as writer:
        writer.write(row(case="NA"))
    assert read_table(tmp_path / "s.csv")["case"].tolist() == ["NA"]


def test_unwritable_and_unreadable_files_are_told_in_words(tmp_path):
    with pytest.raises(OutputError, match=r"scores\.csv"):
        RowWriter(tmp_path / "no folder" / "scores.csv")
    with pytest.raises(OutputError, match=r"run\.json"):
        write_json(tmp_path / "no folder" / "run.json", {})
    with pytest.raises(InputError, match=r"missing\.csv"):
        read_table(tmp_path / "missing.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"other\.csv"):
        read_table(tmp_path / "other.csv")


def test_summary_averages_slices_then_objects_then_cases():
    rows = [row(1.0), row(0.0), row(0.8, label=2), row(0.1, case="b"), row(math.nan, case="b")]
    rows += [row(0.3, rule="oracle"), FAILED, row(error="failed", metrics={})]
    means = summary(rows_to_table(rows)).set_index(["model", "strategy", "rule"])
    score = means.loc[("fake", "S5", "score")]
    assert score["dice"] == pytest.approx(((0.5 + 0.8) / 2 + 0.1) / 2)
    assert score["dice_n_valid"] == 4
    assert (score["n_cases"], score["n_objects"], score["n_rows"], score["n_errors"]) == (2, 3, 6, 1)
    assert means.loc[("fake", "S5", "oracle"), "dice"] == pytest.approx(0.3)
    assert means.loc[("", "", ""), "n_errors"] == 1


def test_infinite_distances_are_left_out_of_means_and_of_n_valid():
    rows = [row(), row(metrics={**dict.fromkeys(METRICS, math.inf), "dice": 0.0})]
    means = summary(rows_to_table(rows)).iloc[0]
    assert (means["hd95_mm"], means["hd95_mm_n_valid"]) == (1.0, 1)
    assert (means["dice"], means["dice_n_valid"]) == (0.25, 2)


def test_summary_of_nothing():
    assert summary(rows_to_table([])).empty


def test_run_info_names_versions_weights_and_no_folders(tmp_path):
    case = Case("a", tmp_path / "deep" / "image.nii.gz", tmp_path / "deep" / "labels.nii.gz")
    config = EvaluationConfig(models=(str(tmp_path / "weights.pth"),), cases=(case,), seed=5)
    info = run_info(config.describe(), {"weights.pth": "vit_b-abc"}, {"a": "40/400"}, n_rows=3)
    write_json(tmp_path / "run.json", info)
    text = (tmp_path / "run.json").read_text()
    assert str(tmp_path) not in text
    read = json.loads(text)
    assert read["models"] == {"weights.pth": "vit_b-abc"}
    assert read["config"]["seed"] == 5
    assert read["config"]["cases"][0]["image"] == "image.nii.gz"
    assert read["windows"] == {"a": "40/400"}
    assert read["packages"]["numpy"]
    assert read["n_rows"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
