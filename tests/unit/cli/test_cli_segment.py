import numpy as np
import pytest

from napari_sam_med.cli.options import check_output
from napari_sam_med.cli.prompts import collect
from napari_sam_med.cli.segment import answers
from napari_sam_med.core.errors import InputError, OutputError
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.core.windowing import Window
from napari_sam_med.inference.session import Session

GREY = Window(0, 10)


def volume(shape=(20, 16, 12), spacing=(1.0, 1.0, 1.0)):
    return volume_from_source(
        np.zeros(shape, np.int16), np.diag([*spacing, 1.0])
    )  # canonical shape is reversed


@pytest.mark.parametrize(
    ("axis", "shape"), [("axial", (16, 20)), ("coronal", (12, 20)), ("sagittal", (12, 16))]
)
def test_the_best_candidate_of_each_box_on_each_plane(fake_segmenter, axis, shape):
    items = collect([f"{axis}:3:2,4,6,9"], [], 1)
    (answer,) = answers(volume(), items, Session(fake_segmenter), GREY)
    expected = np.zeros(shape, bool)
    expected[2:7, 4:10] = True
    np.testing.assert_array_equal(answer.mask, expected)
    assert answer.score == pytest.approx(0.9)


def test_a_mask_of_flat_voxels_comes_back_to_the_voxels(fake_segmenter):
    items = collect(["coronal:3:2,4,6,9"], [], 1)
    (answer,) = answers(volume(spacing=(1.0, 1.0, 4.0)), items, Session(fake_segmenter), GREY)
    expected = np.zeros((12, 20), bool)
    expected[2:7, 4:10] = True
    np.testing.assert_array_equal(answer.mask, expected)
    assert fake_segmenter.encoded == [(48, 20)]


def test_one_slice_is_encoded_once_for_all_its_prompts(fake_segmenter):
    rng = np.random.default_rng(0)
    image = volume_from_source(rng.integers(0, 10, (20, 16, 12)), np.eye(4))
    items = collect(["axial:3:2,4,6,9", "axial:3:8,8,9,9", "axial:4:2,4,6,9"], [], 1)
    assert len(list(answers(image, items, Session(fake_segmenter), GREY))) == 3
    assert len(fake_segmenter.encoded) == 2


def test_a_time_point_of_a_4d_volume(fake_segmenter):
    data = np.stack([np.full((20, 16, 12), t) for t in range(3)])
    image = volume_from_source(data, np.eye(4))
    session = Session(fake_segmenter)
    items = collect(["axial:3:2,4,6,9"], [], 1)
    for time in (0, 1, 1):
        list(answers(image, items, session, GREY, time))
    assert len(fake_segmenter.encoded) == 2  # another time point is another image


def test_nothing_is_segmented_when_one_prompt_lies_outside(fake_segmenter):
    items = collect(["axial:3:2,4,6,9", "axial:30:2,4,6,9"], [], 1)
    with pytest.raises(InputError, match="axial slice 30"):
        list(answers(volume(), items, Session(fake_segmenter), GREY))
    assert fake_segmenter.encoded == []


def test_a_missing_folder_is_told_before_anything_is_read(tmp_path):
    with pytest.raises(OutputError, match="nowhere"):
        check_output(tmp_path / "nowhere" / "mask.nii.gz", tmp_path / "volume.nii.gz")
