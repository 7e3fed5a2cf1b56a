import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam_med.core.errors import GridMismatchError, InputError
from napari_sam_med.core.geometry import (
    affine_spacing,
    canonical_affine,
    canonical_axes,
    describe_grid,
    from_canonical,
    require_same_grid,
    resample_labels,
    same_grid,
    to_canonical,
    volume_from_source,
)

SHAPE = (4, 5, 6)
SPACING = (1.0, 2.0, 3.0)
ORIENTATIONS = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def oriented_affine(order, signs, spacing=SPACING, origin=(10.0, -20.0, 30.0)):
    """Voxel axis i runs along world axis order[i], with sign signs[i]."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis in range(3):
        affine[order[axis], axis] = signs[axis] * spacing[axis]
    affine[:3, 3] = origin
    return affine


def rotation(angles):
    a, b, c = angles
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rx @ ry @ rz


def oblique_affine(angles, spacing=SPACING, shear=0.0):
    affine = np.eye(4)
    sheared = np.array([[1, shear, 0], [0, 1, 0], [0, 0, 1]])
    affine[:3, :3] = rotation(angles) @ sheared @ np.diag(spacing)
    affine[:3, 3] = (7.5, -3.25, 100.0)
    return affine


def numbered(shape=SHAPE, dtype=np.int32):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def world_of(data, affine):
    """Value -> world position of the voxel that holds it."""
    index = np.array(list(np.ndindex(data.shape)))
    world = index @ affine[:3, :3].T + affine[:3, 3]
    return {int(data[tuple(i)]): w for i, w in zip(index, world, strict=True)}


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_all_48_orientations_become_inferior_posterior_left_and_come_back(order, signs):
    affine = oriented_affine(order, signs)
    data = numbered()
    volume = volume_from_source(data, affine)

    directions = volume.affine[:3, :3] / np.array(volume.spacing_mm)
    np.testing.assert_allclose(directions, [[0, 0, -1], [0, -1, 0], [-1, 0, 0]])  # columns: I, P, L in RAS
    np.testing.assert_array_equal(from_canonical(volume.data, volume.source), data)
    for axis in range(3):
        assert volume.spacing_mm[axis] == SPACING[volume.source.permutation[axis]]

    before, after = world_of(data, affine), world_of(volume.data, volume.affine)
    for value, position in before.items():
        np.testing.assert_allclose(after[value], position)


def test_the_same_anatomy_gives_the_same_canonical_voxels_whatever_the_file_order():
    reference = volume_from_source(numbered(), oriented_affine((0, 1, 2), (1, 1, 1)))
    for order, signs in ORIENTATIONS:
        stored = numbered().transpose(np.array(order))[tuple(slice(None, None, s) for s in signs)]
        spacing = tuple(SPACING[a] for a in order)
        affine = oriented_affine(order, signs, spacing)
        for axis, sign in enumerate(signs):
            if sign < 0:
                affine[order[axis], 3] += spacing[axis] * (stored.shape[axis] - 1)
        volume = volume_from_source(stored, affine)
        np.testing.assert_array_equal(volume.data, reference.data)
        assert same_grid(volume, reference)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.floats(-np.pi, np.pi)] * 3),
    st.tuples(*[st.floats(0.3, 8.0)] * 3),
    st.floats(-0.3, 0.3),
)
def test_oblique_and_sheared_grids_come_back_exactly(angles, spacing, shear):
    affine = oblique_affine(angles, spacing, shear)
    data = numbered()
    volume = volume_from_source(data, affine)
    assert sorted(volume.source.permutation) == [0, 1, 2]
    np.testing.assert_array_equal(volume.source.affine, affine)
    np.testing.assert_array_equal(from_canonical(volume.data, volume.source), data)
    np.testing.assert_allclose(volume.spacing_mm, affine_spacing(volume.affine))
    before, after = world_of(data, affine), world_of(volume.data, volume.affine)
    np.testing.assert_allclose([after[v] for v in before], list(before.values()), atol=1e-6)


@pytest.mark.parametrize("time_points", [1, 3])
def test_time_stays_in_front(time_points):
    data = numbered((time_points, *SHAPE))
    volume = volume_from_source(data, oriented_affine((2, 0, 1), (1, -1, 1)))
    assert volume.n_times == time_points
    assert volume.source.shape == SHAPE
    np.testing.assert_array_equal(from_canonical(volume.data, volume.source), data)
    np.testing.assert_array_equal(to_canonical(data[0], volume.source), volume.frame(0))


def test_turning_is_a_view_not_a_copy():
    data = numbered()
    volume = volume_from_source(data, oriented_affine((2, 1, 0), (-1, 1, -1)))
    assert np.shares_memory(volume.data, data)


@pytest.mark.parametrize("angle", [np.pi / 4, -np.pi / 4, 3 * np.pi / 4])
@pytest.mark.parametrize("turn_about", [0, 1, 2])
def test_exactly_between_two_axes_rounding_noise_does_not_decide(angle, turn_about):
    angles = [0.0, 0.0, 0.0]
    angles[turn_about] = angle
    affine = oblique_affine(angles, (1.0, 1.0, 1.0))
    answers = set()
    rng = np.random.default_rng(0)
    for _ in range(20):
        noisy = affine.copy()
        noisy[:3, :3] += rng.uniform(-1e-7, 1e-7, (3, 3))
        answers.add(canonical_axes(noisy)[0])
    answers.add(canonical_axes(affine.astype(np.float32))[0])
    assert len(answers) == 1


def test_canonical_affine_of_an_identity_source_points_from_head_to_feet():
    volume = volume_from_source(numbered(), np.diag([1.0, 2.0, 3.0, 1.0]))
    assert volume.shape == (6, 5, 4)
    assert volume.spacing_mm == (3.0, 2.0, 1.0)
    np.testing.assert_allclose(
        canonical_affine(volume.source)[:3, 3], [3, 8, 15]
    )  # the last voxel of the file
    assert volume.origin_ipl_mm == (-15.0, -8.0, -3.0)


@pytest.mark.parametrize(
    "broken",
    [
        np.diag([1.0, 0.0, 1.0, 1.0]),
        np.diag([0.0, 0.0, 0.0, 1.0]),
        np.array([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        np.diag([1.0, np.nan, 1.0, 1.0]),
        np.diag([1.0, np.inf, 1.0, 1.0]),
    ],
)
def test_singular_and_non_finite_affines_are_refused_by_name(broken):
    with pytest.raises(InputError, match="brain"):
        volume_from_source(numbered(), broken, what="The file brain.nii")


def test_tiny_voxels_are_not_singular():
    assert volume_from_source(numbered(), np.diag([1e-4, 1e-4, 1e-4, 1])).spacing_mm == (1e-4, 1e-4, 1e-4)


def test_stored_dtype_is_remembered():
    volume = volume_from_source(numbered(dtype=np.float32), np.eye(4), dtype=np.int16)
    assert volume.source.dtype == np.int16
    assert volume_from_source(numbered(), np.eye(4)).source.dtype == np.int32


def test_same_grid_tolerates_rounding_but_not_a_shift():
    image = volume_from_source(numbered(), np.eye(4))
    rounded, shifted = np.eye(4), np.eye(4)
    rounded[0, 3] = 1e-3
    shifted[0, 3] = 0.5
    assert same_grid(image, volume_from_source(numbered(), rounded))
    assert not same_grid(image, volume_from_source(numbered(), shifted))
    assert not same_grid(image, volume_from_source(numbered((4, 5, 7)), np.eye(4)))


def test_a_small_tilt_adds_up_at_the_far_corner():
    long = numbered((2, 2, 400))
    tilted = np.eye(4)
    tilted[0, 2] = 1e-4
    assert not same_grid(volume_from_source(long, np.eye(4)), volume_from_source(long, tilted))


def test_a_mismatch_names_both_grids():
    image = volume_from_source(numbered(), np.diag([1.0, 1, 1, 1]), name="scan")
    labels = volume_from_source(numbered((4, 5, 7)), np.diag([1.5, 1, 1, 1]), name="organs")
    require_same_grid(image, image)
    with pytest.raises(GridMismatchError) as caught:
        require_same_grid(image, labels)
    text = str(caught.value)
    assert all(part in text for part in ("scan", "organs", "(6, 5, 4)", "(7, 5, 4)", "1.5", "esample"))


def test_resampling_onto_its_own_grid_changes_nothing():
    labels = volume_from_source(numbered(), oblique_affine((0.3, 0.2, -0.4)))
    np.testing.assert_array_equal(resample_labels(labels, labels).data, labels.data)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS[::7])
def test_resampling_brings_a_turned_copy_back(order, signs):
    truth = volume_from_source(numbered(), oriented_affine((0, 1, 2), (1, 1, 1)))
    stored = from_canonical(truth.data, truth.source).transpose(order)
    stored = stored[tuple(slice(None, None, s) for s in signs)]
    affine = oriented_affine(order, signs, tuple(SPACING[a] for a in order))
    for axis, sign in enumerate(signs):
        if sign < 0:
            affine[order[axis], 3] += SPACING[order[axis]] * (stored.shape[axis] - 1)
    turned = volume_from_source(stored, affine)
    np.testing.assert_array_equal(resample_labels(turned, truth).data, truth.data)


def test_resampling_between_spacings_takes_the_nearest_voxel_and_background_outside():
    coarse = np.zeros((4, 4, 4), np.uint8)
    coarse[1:3, 1:3, 1:3] = 9
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = 0.5  # no voxel centre lies halfway between two others
    labels = volume_from_source(coarse, affine, label_names={9: "cube"})
    fine = volume_from_source(np.zeros((12, 8, 8)), np.eye(4), name="fine", modality="CT")
    out = resample_labels(labels, fine, background=3)
    assert out.shape == fine.shape
    assert out.data.dtype == np.uint8
    assert out.label_names == {9: "cube"}
    assert same_grid(out, fine)
    back = from_canonical(out.data, out.source)
    for x in range(12):
        nearest = round((x - 0.5) / 2)
        expected = 3 if nearest > 3 else (9 if nearest in (1, 2) else 0)
        assert back[x, 3, 3] == expected


def test_resampling_labels_of_4d_reference_gives_one_label_volume():
    reference = volume_from_source(np.zeros((2, *SHAPE), np.float32), np.eye(4))
    labels = volume_from_source(numbered(dtype=np.uint16), np.eye(4))
    np.testing.assert_array_equal(resample_labels(labels, reference).data, labels.data)


@pytest.mark.parametrize(
    ("order", "signs", "letters"),
    [((0, 1, 2), (1, 1, 1), "RAS"), ((0, 1, 2), (-1, -1, 1), "LPS"), ((1, 2, 0), (-1, -1, 1), "PIR")],
)
def test_description_says_where_stored_axes_run_to(order, signs, letters):
    volume = volume_from_source(numbered(), oriented_affine(order, signs))
    facts = describe_grid(volume)
    assert facts["stored orientation"] == letters
    assert facts["obliqueness"].startswith("0.0")


def test_description_of_an_oblique_grid_names_three_different_directions_and_the_tilt():
    volume = volume_from_source(numbered(), oblique_affine((0.0, 0.0, np.pi / 4), (1.0, 1.0, 1.0)))
    facts = describe_grid(volume)
    pairs = ["RL", "AP", "SI"]
    assert {next(p for p in pairs if letter in p) for letter in facts["stored orientation"]} == set(pairs)
    assert facts["obliqueness"].startswith("45.0")
