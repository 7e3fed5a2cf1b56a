import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist
from sklearn.metrics import f1_score, jaccard_score

from napari_sam_med.core.errors import InputError
from napari_sam_med.metrics import METRICS, compute_metrics

DISTANCES = [name for name, metric in METRICS.items() if metric.unit == "mm"]
OVERLAPS = [name for name, metric in METRICS.items() if not metric.unit]


@st.composite
def pairs(draw, dimensions=(2, 3)):
    shape = draw(st.lists(st.integers(2, 7), min_size=dimensions[0], max_size=dimensions[-1]))
    a, b = (draw(hnp.arrays(bool, tuple(shape))) for _ in range(2))
    spacing = draw(st.lists(st.sampled_from([0.4, 1.0, 2.5]), min_size=len(shape), max_size=len(shape)))
    return a, b, tuple(spacing)


def surface_points(mask, spacing):
    """Voxels with a face neighbour outside, looked up one by one."""
    padded = np.pad(mask, 1)
    points = []
    for index in np.argwhere(mask):
        at = index + 1
        neighbours = [
            at + step * np.eye(mask.ndim, dtype=int)[axis] for axis in range(mask.ndim) for step in (-1, 1)
        ]
        if not all(padded[tuple(n)] for n in neighbours):
            points.append(index * np.array(spacing))
    return np.array(points)


@given(pairs())
def test_overlaps_agree_with_scikit_learn(pair):
    a, b, spacing = pair
    assume(a.any() or b.any())
    found = compute_metrics(a, b, spacing, OVERLAPS)
    assert found["dice"] == pytest.approx(f1_score(b.ravel(), a.ravel(), zero_division=0))
    assert found["jaccard"] == pytest.approx(jaccard_score(b.ravel(), a.ravel(), zero_division=0))


@given(pairs())
def test_distances_agree_with_brute_force(pair):
    a, b, spacing = pair
    assume(a.any() and b.any())
    between = cdist(surface_points(a, spacing), surface_points(b, spacing))
    there, back = between.min(axis=1), between.min(axis=0)
    found = compute_metrics(a, b, spacing)
    assert found["hd_mm"] == pytest.approx(max(there.max(), back.max()))
    assert found["hd95_mm"] == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert found["assd_mm"] == pytest.approx((there.sum() + back.sum()) / (len(there) + len(back)))


@given(pairs())
def test_every_metric_is_symmetric_and_perfect_on_itself(pair):
    a, b, spacing = pair
    assert compute_metrics(a, b, spacing) == pytest.approx(compute_metrics(b, a, spacing), nan_ok=True)
    assume(a.any())
    itself = compute_metrics(a, a, spacing)
    assert all(itself[name] == 1 for name in OVERLAPS)
    assert all(itself[name] == 0 for name in DISTANCES)


@pytest.mark.parametrize("shape", [(6, 7), (4, 6, 7)])
def test_empty_masks(shape):
    empty, full = np.zeros(shape, bool), np.ones(shape, bool)
    spacing = (1.0,) * len(shape)
    both = compute_metrics(empty, empty, spacing)
    assert all(math.isnan(value) for value in both.values())
    for one in (compute_metrics(empty, full, spacing), compute_metrics(full, empty, spacing)):
        assert all(one[name] == 0 for name in OVERLAPS)
        assert all(one[name] == math.inf for name in DISTANCES)


def test_known_distances_by_hand():
    a, b = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    a[5, 5] = b[5, 9] = True
    assert compute_metrics(a, b, (3.0, 0.5), DISTANCES) == dict.fromkeys(DISTANCES, 2.0)
    b[:] = False
    b[7, 5] = True
    assert compute_metrics(a, b, (3.0, 0.5), ["hd_mm"]) == {"hd_mm": 6.0}


def test_a_volume_of_one_slice_is_measured_as_the_slice():
    r, c = np.ogrid[:30, :30]
    a = (r - 12) ** 2 + (c - 15) ** 2 < 60
    b = (r - 14) ** 2 + (c - 16) ** 2 < 80
    flat = compute_metrics(a, b, (0.8, 1.1))
    assert compute_metrics(a[None], b[None], (5.0, 0.8, 1.1)) == pytest.approx(flat)


def test_masks_need_not_be_bool_and_far_background_does_not_matter():
    a, b = np.zeros((200, 300), np.uint8), np.zeros((200, 300), np.uint8)
    a[50:60, 50:60] = 3
    b[52:62, 51:61] = 1
    crop = (slice(40, 70), slice(40, 70))
    assert compute_metrics(a, b, (1, 2)) == pytest.approx(compute_metrics(a[crop], b[crop], (1, 2)))


def test_unusable_input_is_refused():
    a = np.ones((4, 4), bool)
    for b, spacing in [(np.ones((4, 5), bool), (1, 1)), (a, (1, 1, 1)), (a, (1, 0)), (a, (1, math.nan))]:
        with pytest.raises(InputError):
            compute_metrics(a, b, spacing)
    with pytest.raises(InputError, match="dice"):
        compute_metrics(a, a, (1, 1), ["no such metric"])


@pytest.mark.parametrize("name", list(METRICS))
def test_metrics_declare_what_they_are(name):
    metric = METRICS.get(name)
    assert metric.name == name
    assert metric.title
    assert (metric.unit == "mm") == name.endswith("_mm") == metric.needs_spacing
    better, worse = np.zeros((12, 12), bool), np.zeros((12, 12), bool)
    truth = np.zeros((12, 12), bool)
    truth[3:9, 3:9] = better[3:9, 4:10] = worse[3:9, 6:12] = True
    good = compute_metrics(better, truth, (1, 1), [name])[name]
    bad = compute_metrics(worse, truth, (1, 1), [name])[name]
    assert (good > bad) == metric.higher_is_better
    if metric.needs_spacing:
        assert compute_metrics(better, truth, (2, 2), [name])[name] == pytest.approx(2 * good)
