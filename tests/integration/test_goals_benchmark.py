"""The benchmark of the built-in model's goals: what is asked, and how it is averaged."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def goals():
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location("builtin_goals", FOLDER / "builtin_goals.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


def test_each_edge_is_off_by_at_most_a_tenth_of_its_side(goals):
    rng = np.random.default_rng(0)
    boxes = np.array([goals.jittered(rng, (40, 30, 59, 69), (100, 100)).box for _ in range(300)])
    off = (boxes - [40, 30, 59, 69]) / [20, 40, 20, 40]
    assert np.abs(off).max() <= 0.1
    assert (np.abs(off).max(axis=0) > 0.09).all()
    corner = goals.jittered(rng, (0, 0, 9, 9), (10, 10)).box
    assert min(corner) >= 0
    assert max(corner) <= 9


def row(pair, share=0.1, **values):
    names = ["s5_score", "s5_oracle", "s2_score", "s2_oracle", "s5_iou_error", "s2_iou_error", "jitter"]
    names += ["ellipse", "otsu", *(f"clicks_{k}" for k in range(6))]
    return {"pair": pair, "case": pair, "label": 1, "share": share, **dict.fromkeys(names, 0.5), **values}


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_means_are_over_slices_then_pairs_and_small_objects_apart(goals):
    rows = [row("a", s5_score=1.0), row("a", s5_score=0.8), row("b", 0.001, s5_score=0.5, clicks_5=0.9)]
    lines = {line[0]: line[1:] for line in cells(goals.markdown(pd.DataFrame(rows)))}
    assert lines["S5 box, `score`"][0] == "0.700"
    assert lines["S5 box, `score`"][2:4] == ["2", "3"]
    assert lines["objects under 1 % of the slice, S5"][0] == "0.500"
    assert lines["the same, less the box alone"][0] == "0.200"


def test_pairs_are_held_against_the_better_baseline(goals):
    rows = [row("a", s5_score=0.9, otsu=0.8), row("b", s5_score=0.49), row("c", s5_score=0.4, ellipse=0.7)]
    text = goals.markdown(pd.DataFrame(rows))
    assert "above both baselines on 1 of 3" in text
    assert "below the better one on 1 " in text
