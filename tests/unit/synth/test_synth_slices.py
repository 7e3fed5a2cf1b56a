import numpy as np
import pytest
from scipy.ndimage import binary_erosion, center_of_mass, convolve, distance_transform_edt, label
from skimage.morphology import skeletonize

from napari_sam_med.synth import abdomen_ct, random_slice
from napari_sam_med.synth.noise import smooth_field
from napari_sam_med.synth.shapes import crescent, horns, pair, ribbon, tree


def test_same_seed_same_slice():
    first = random_slice(np.random.default_rng(7), 96)
    again = random_slice(np.random.default_rng(7), 96)
    other = random_slice(np.random.default_rng(8), 96)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("size", [64, 200])
def test_slices_are_usable(size):
    rng = np.random.default_rng(3)
    objects = []
    for _ in range(30):
        image, labels = random_slice(rng, size)
        assert image.shape == labels.shape == (size, size)
        assert image.dtype == np.uint8
        assert labels.dtype == np.int32
        assert labels.min() >= 0
        assert image.std() > 1  # never a blank slice
        objects.append(len(np.unique(labels)) - 1)
    assert np.mean(objects) > 4
    assert np.std(objects) > 1


def test_both_polarities_occur():
    rng = np.random.default_rng(0)
    brighter = []
    for _ in range(40):
        image, labels = random_slice(rng, 96)
        for value in np.unique(labels)[1:]:
            mask = labels == value
            if mask.sum() > 80:
                brighter.append(image[mask].mean() > image[~mask].mean())
    assert 0.25 < np.mean(brighter) < 0.75


def test_smooth_field_is_standardised_and_smooth():
    field = smooth_field(np.random.default_rng(0), (80, 120), 4)
    assert field.shape == (80, 120)
    assert field.std() == pytest.approx(1, abs=1e-3)
    assert np.abs(np.diff(field, axis=0)).max() < 0.4


@pytest.fixture(scope="module")
def abdomen():
    return abdomen_ct(seed=2)


def test_abdomen_lies_as_a_patient(abdomen):
    image, labels = abdomen
    assert image.modality == "CT"
    assert image.shape == labels.shape
    names = {name: value for value, name in labels.label_names.items()}
    centre = {n: np.argwhere(labels.data == v).mean(0) for n, v in names.items()}
    assert centre["liver"][2] < centre["spleen"][2]  # x grows to the patient's left
    assert centre["right kidney"][2] < centre["left kidney"][2]
    assert centre["vertebrae"][1] > centre["aorta"][1] > centre["stomach"][1]  # y grows to posterior
    right, _, _ = image.affine[:3] @ [*np.zeros(3), 1]
    assert right > 0  # voxel 0 lies on the patient's right


def test_abdomen_has_plausible_hounsfield_units(abdomen):
    image, labels = abdomen
    names = {name: value for value, name in labels.label_names.items()}
    mean = {n: float(image.data[labels.data == v].mean()) for n, v in names.items()}
    assert image.data.min() >= -1024
    assert 90 < mean["liver"] < 130
    assert mean["gallbladder"] < 30 < mean["liver lesion"] < mean["liver"] < mean["aorta"]
    assert mean["vertebrae"] > 200


def test_abdomen_organs_are_one_piece(abdomen):
    _, labels = abdomen
    for value, name in labels.label_names.items():
        if name in ("aorta", "inferior vena cava", "liver", "spleen"):
            pieces, n = label(labels.data == value)
            sizes = np.bincount(pieces.ravel())[1:]
            assert n >= 1
            assert sizes.max() > 0.95 * sizes.sum()


def test_abdomen_changes_with_its_seed(abdomen):
    assert not np.array_equal(abdomen[1].data, abdomen_ct(seed=3)[1].data)


def test_pairs_have_two_sides_of_about_the_same_size():
    sides = []
    for seed in range(30):
        mask, core = pair(np.random.default_rng(seed), 128)
        assert core is None
        pieces, n = label(mask)
        if n == 2:
            sizes = np.bincount(pieces.ravel())[1:]
            sides.append(sizes.min() / sizes.max())
    assert len(sides) > 12
    assert np.median(sides) > 0.7


def test_crescents_lie_beside_what_bounds_them():
    beside = []
    for seed in range(30):
        mask, core = crescent(np.random.default_rng(seed), 128)
        left = mask & ~core
        if mask.sum() < 80:
            continue
        assert (mask & core).any()
        assert left.any()
        apart = np.subtract(center_of_mass(left), center_of_mass(mask & core))
        beside.append(np.hypot(*apart) / np.sqrt(mask.sum()))
    assert len(beside) > 10
    assert np.median(beside) > 0.25  # a ring would be about 0


def test_horns_leave_most_of_their_box_empty_and_mirror_each_other():
    fills, reached, alike = [], [], []
    for seed in range(40):
        body, core = horns(np.random.default_rng(seed), 256)
        horn = body if core is None else core
        rows, cols = np.nonzero(horn)
        if not len(rows) or rows.min() == 0 or cols.min() == 0 or rows.max() == 255 or cols.max() == 255:
            continue  # cut by the edge of the slice
        box = horn[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
        fills.append(box.mean())
        mirrored = max((box & box[::-1, ::-1]).sum(), (box & box[:, ::-1]).sum(), (box & box[::-1]).sum())
        alike.append(mirrored / box.sum())
        if core is not None:
            reached.append((core & body).sum() / core.sum())
    assert np.median(fills) < 0.5
    assert np.median(alike) > 0.5
    assert np.median(reached) > 0.9


def test_a_tree_branches_into_thinner_tips_and_is_one_piece():
    tips, thinner = [], []
    for seed in range(25):
        mask, _ = tree(np.random.default_rng(seed), 256)
        if mask.sum() < 300:
            continue  # mostly beyond the slice
        assert label(mask, np.ones((3, 3)))[1] == 1
        line = skeletonize(mask)
        neighbours = convolve(line.astype(int), np.ones((3, 3)), mode="constant") * line
        tips.append(int((neighbours == 2).sum()))
        depth = distance_transform_edt(mask)[line]
        thinner.append(np.percentile(depth, 10) / np.percentile(depth, 90))
    assert len(tips) > 8
    assert np.median(tips) >= 4
    assert np.median(thinner) < 0.7


def test_a_ribbon_runs_along_the_whole_outline_of_what_it_wraps():
    for seed in range(12):
        mask, rest = ribbon(np.random.default_rng(seed), 128)
        if rest is None:
            continue
        band = mask & ~rest
        outline = mask & ~binary_erosion(mask, border_value=1)
        assert band[outline].all()
        assert 0 < band.sum() < mask.sum()
        assert distance_transform_edt(band).max() < distance_transform_edt(mask).max()
