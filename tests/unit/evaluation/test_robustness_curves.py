import pandas as pd
import pytest

from napari_sam_med.evaluation.robustness_curves import CURVE_COLUMNS, curves, oracle_gap, plain_rows


def row(case, index, dose, dice, plain, **changes):
    known = {
        "case": case,
        "axis": "axial",
        "slice": index,
        "label": 1,
        "lab": "jitter",
        "mode": "edges",
        "model": "m",
        "strategy": "S5",
        "rule": "score",
        "dose": float(dose),
        "step": "none" if dose == 0 else f"{dose} px",
        "moved_px": float(dose),
        "dice": dice,
        "dice_plain": plain,
        "error": "",
    }
    return {**known, **changes}


def test_means_and_losses_by_hand():
    table = pd.DataFrame(
        [
            row("a", 1, 15, 0.5, 0.9),
            row("a", 1, 0, 0.9, 0.9),
            row("a", 2, 0, 0.8, 0.8),
            row("a", 2, 15, 0.7, 0.8),
            row("a", 3, 15, float("nan"), 0.8, error="Not now."),
        ]
    )
    found = curves(table)
    assert tuple(found.columns) == CURVE_COLUMNS
    assert found["dose"].tolist() == [0, 15]
    none, far = found.to_dict("records")
    assert (none["step"], none["dice"], none["loss"]) == ("none", pytest.approx(0.85), 0)
    assert (far["dice"], far["loss"]) == (pytest.approx(0.6), pytest.approx(0.25))
    assert (far["n_valid"], far["n_errors"], far["n_clusters"], far["cluster"]) == (2, 1, 2, "slice")
    # two slices: the interval reaches from one to the other
    assert (far["loss_low"], far["loss_high"]) == pytest.approx((0.1, 0.4))


def test_draws_of_one_slice_stay_together():
    draws = [row("a", 1, 15, dice, 0.9, seed=k) for k, dice in enumerate((0.1, 0.5, 0.9))]
    alone = curves(pd.DataFrame(draws)).iloc[0]
    assert (alone["n_valid"], alone["n_clusters"]) == (3, 1)
    assert pd.isna(alone["dice_low"])


def test_several_volumes_are_the_clusters():
    table = pd.DataFrame([row(case, k, 15, 0.5, 0.9) for case in "ab" for k in range(5)])
    found = curves(table).iloc[0]
    assert (found["cluster"], found["n_clusters"], found["n_valid"]) == ("volume", 2, 10)


def test_oracle_gap_compares_the_same_rows():
    rows = []
    for index, score, oracle in ((1, 0.5, 0.9), (2, 0.6, 0.8)):
        rows.append(row("a", index, 0, score, score))
        rows.append(row("a", index, 0, oracle, oracle, rule="oracle"))
    rows.append(row("a", 3, 0, 0.0, 0.0, rule="oracle"))  # without its twin
    (found,) = oracle_gap(pd.DataFrame(rows)).to_dict("records")
    assert (found["score"], found["oracle"], found["gap"]) == pytest.approx((0.55, 0.85, 0.3))
    assert (found["n_valid"], found["cluster"]) == (2, "slice")
    assert (found["gap_low"], found["gap_high"]) == pytest.approx((0.2, 0.4))


def test_plain_rows_are_a_table_of_scores():
    table = pd.DataFrame(
        [
            row("a", 1, 0, 0.8, 0.8),
            row("a", 1, 0, 0.8, 0.8, lab="padding", mode="box"),
            row("a", 1, 15, 0.5, 0.8),
        ]
    )
    plain = plain_rows(table)
    assert len(plain) == 1
    assert plain["jaccard"].item() == pytest.approx(0.8 / 1.2)
