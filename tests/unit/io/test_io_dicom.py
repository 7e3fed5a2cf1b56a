from __future__ import annotations

import contextlib

import numpy as np
import pydicom
import pytest

from fixtures.medical_files import make_affine
from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import from_canonical
from napari_sam_med.io import can_read, list_series, read_volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def stored(volume):
    """Voxels as (k, row, column)."""
    return from_canonical(volume.data, volume.source).T


def test_series_sorted_by_position_in_hounsfield(series, slices, any_affine):
    tilted = abs(np.dot(any_affine[:3, 1], any_affine[:3, 2])) > 1e-6
    series.fill(slices, affine=any_affine)
    volume = read_volume(series.folder)
    np.testing.assert_allclose(volume.source.affine, LPS @ any_affine, atol=1e-6)
    np.testing.assert_array_equal(stored(volume), slices - 1024)
    assert volume.data.dtype == np.int16
    assert volume.modality == "CT"
    assert bool(volume.metadata.get("warnings")) == tilted


def test_left_handed_stack_is_turned_with_its_affine(series, slices):
    affine = make_affine() @ np.diag([1, 1, -1, 1.0])
    series.fill(slices, affine=affine)
    volume = read_volume(series.folder)
    np.testing.assert_array_equal(stored(volume), slices[::-1] - 1024)
    k_last = affine @ [0, 0, len(slices) - 1, 1]
    np.testing.assert_allclose(volume.source.affine[:3, 3], (LPS @ k_last)[:3], atol=1e-6)


def test_one_file_gathers_its_series_and_only_that(series, slices):
    series.fill(slices)
    series.add("other.dcm", 9, slices[0], uid="9.9")
    np.testing.assert_array_equal(stored(read_volume(series.folder / "im001.dcm")), slices - 1024)
    assert read_volume(series.folder / "other.dcm").shape == (1, 6, 7)


def test_no_patient_identity_anywhere(series, slices):
    series.fill(slices, edit=lambda d: setattr(d, "SeriesDescription", "Thorax"))
    volume = read_volume(series.folder)
    everything = repr((volume.name, volume.metadata, volume.label_names, list_series(series.folder)))
    assert "Doe" not in everything
    assert "SECRET" not in everything
    assert volume.name == "Thorax"


def test_slope_and_intercept_of_each_slice(series, slices):
    for k, plane in enumerate(slices):
        series.add(
            f"{k}.dcm",
            k,
            plane,
            edit=lambda d, k=k: d.update({"RescaleSlope": k + 1, "RescaleIntercept": -k}),
        )
    factor = np.arange(1, 6)[:, None, None]
    volume = read_volume(series.folder)
    np.testing.assert_array_equal(stored(volume), slices * factor - (factor - 1))
    assert volume.data.dtype == np.int16


def test_fractional_slope_gives_float_and_large_values_do_not_wrap(series, slices):
    series.fill(slices, edit=lambda d: d.update({"RescaleSlope": "0.5", "RescaleIntercept": "0.25"}))
    np.testing.assert_allclose(stored(read_volume(series.folder)), slices * 0.5 + 0.25)
    loud = np.full((2, 6, 7), 30000, np.int16)
    series.fill(
        loud,
        edit=lambda d: d.update({"RescaleSlope": "4", "RescaleIntercept": "-1024"}),
        uid="4.5",
        prefix="b",
    )
    volume = read_volume(series.folder, series="4.5")
    assert stored(volume).max() == 30000 * 4 - 1024


def test_window_and_inverted_display_are_noted(series, slices):
    def edit(data):
        data.WindowCenter, data.WindowWidth = [40, 400], [300, 1500]
        data.PhotometricInterpretation = "MONOCHROME1"

    series.fill(slices, edit=edit)
    volume = read_volume(series.folder)
    assert volume.metadata["window_hu"] == (40.0, 300.0)
    assert any("inverted" in w for w in volume.metadata["warnings"])
    np.testing.assert_array_equal(stored(volume), slices - 1024)


class TestChoice:
    def test_several_series_need_a_choice(self, series, slices):
        series.fill(slices)
        series.fill(slices[:3], prefix="b", uid="7.7", number=8)
        with pytest.raises(InputError, match="2 image series"):
            read_volume(series.folder)
        assert read_volume(series.folder, series=8).shape[0] == 3
        assert read_volume(series.folder, series="8").shape[0] == 3
        assert read_volume(series.folder, series="1.2.3").shape[0] == 5
        with pytest.raises(InputError, match="no series"):
            read_volume(series.folder, series=5)

    def test_same_number_twice(self, series, slices):
        series.add("a.dcm", 0, slices[0], uid="1.1")
        series.add("b.dcm", 0, slices[0], uid="2.2")
        with pytest.raises(InputError, match=r"2\.2"):
            read_volume(series.folder, series=3)

    def test_list(self, series, slices):
        series.add("a.dcm", 0, slices[0], uid="7.7", number=8)
        series.add("b.dcm", 0, slices[0], uid="1.1", number=2)
        series.add("c.dcm", 1, slices[0], uid="1.1", number=2)
        found = list_series(series.folder)
        assert [(s.number, s.uid, s.n_files, s.shape, s.modality) for s in found] == [
            (2, "1.1", 2, (2, 6, 7), "CT"),
            (8, "7.7", 1, (1, 6, 7), "CT"),
        ]


class TestBadSeries:
    """Every refusal names the slices."""

    def refused(self, folder, *names):
        with pytest.raises(InputError) as error:
            read_volume(folder)
        for name in names:
            assert name in str(error.value)

    def test_gap(self, series, slices):
        series.fill(slices)
        (series.folder / "im003.dcm").unlink()
        self.refused(series.folder, "im002.dcm", "im004.dcm", "5 mm")

    def test_duplicate(self, series, slices):
        series.fill(slices)
        series.add("again.dcm", 2, slices[2])
        self.refused(series.folder, "again.dcm", "im003.dcm")

    def test_everything_twice(self, series, slices):
        for name in ("a", "b"):
            for k in range(3):
                series.add(f"{name}{k}.dcm", k, slices[k])
        self.refused(series.folder, "a0.dcm", "b0.dcm")

    def test_sizes(self, series, slices):
        series.fill(slices)
        series.add("odd.dcm", 5, slices[0, :3, :3].copy())
        self.refused(series.folder, "odd.dcm", "3 × 3")

    def test_spacings(self, series, slices):
        series.fill(slices)
        series.add("odd.dcm", 5, slices[0], edit=lambda d: setattr(d, "PixelSpacing", [5, 5]))
        self.refused(series.folder, "odd.dcm")

    def test_orientations(self, series, slices):
        series.fill(slices)
        series.add("odd.dcm", 5, slices[0], affine=make_affine(degrees=(90, 0, 0)))
        self.refused(series.folder, "odd.dcm")
        # naming one file leaves the other planes out
        volume = read_volume(series.folder / "im001.dcm")
        assert volume.data.size == slices.size
        assert any("odd.dcm" in w for w in volume.metadata["warnings"])

    def test_missing_position(self, series, slices):
        series.fill(slices)
        series.add("lost.dcm", 5, slices[0], edit=lambda d: d.pop("ImagePositionPatient"))
        self.refused(series.folder, "lost.dcm")

    def test_no_positions_at_all(self, series, slices):
        series.fill(slices, edit=lambda d: d.pop("ImagePositionPatient"))
        self.refused(series.folder, "ImagePositionPatient")
        assert read_volume(series.folder / "im002.dcm").shape == (1, 6, 7)

    def test_beside_the_line(self, series, slices):
        def move(data):
            data.ImagePositionPatient = [data.ImagePositionPatient[0] + 9, *data.ImagePositionPatient[1:]]

        for k, plane in enumerate(slices):
            series.add(f"{k}.dcm", k, plane, edit=move if k == 2 else None)
        self.refused(series.folder, "2.dcm", "9 mm")

    @pytest.mark.parametrize("spacing", [[0, 1], [1, -1]])
    def test_zero_spacing(self, series, slices, spacing):
        series.fill(slices, edit=lambda d: setattr(d, "PixelSpacing", spacing))
        self.refused(series.folder, "spacing")

    def test_truncated_slice(self, series, slices):
        series.fill(slices)
        path = series.folder / "im003.dcm"
        path.write_bytes(path.read_bytes()[:-30])
        self.refused(series.folder, "im003.dcm")

    def test_colours(self, series, slices):
        def edit(data):
            data.SamplesPerPixel, data.PhotometricInterpretation = 3, "RGB"

        series.fill(slices, edit=edit)
        self.refused(series.folder, "RGB")

    @pytest.mark.parametrize("modality", ["SEG", "RTSTRUCT", "RTPLAN", "SR", "RTDOSE"])
    def test_objects_that_are_no_image(self, series, slices, modality):
        path = series.add("a.dcm", 0, slices[0], edit=lambda d: setattr(d, "Modality", modality))
        for where in (path, series.folder):
            with pytest.raises(InputError, match=modality):
                read_volume(where)

    def test_damaged_headers_give_sentences_only(self, series, slices):
        series.fill(slices[:2])
        path = series.folder / "im001.dcm"
        whole = bytearray(path.read_bytes())
        rng = np.random.default_rng(2)
        for _ in range(150):
            raw = whole.copy()
            for place in rng.integers(132, len(raw), 3):
                raw[place] = rng.integers(256)
            path.write_bytes(raw)
            for where in (series.folder, path):
                with contextlib.suppress(InputError):
                    read_volume(where)


def test_junk_in_the_folder_is_skipped_and_named(series, slices):
    series.fill(slices)
    for name, content in {".DS_Store": b"abc", "notes.txt": b"hello", "empty.dcm": b""}.items():
        (series.folder / name).write_bytes(content)
    series.add("plan.dcm", 0, slices[0], edit=lambda d: setattr(d, "Modality", "RTPLAN"))
    volume = read_volume(series.folder)
    np.testing.assert_array_equal(stored(volume), slices - 1024)
    assert all(name in volume.metadata["warnings"][0] for name in ("notes.txt", "empty.dcm", "plan.dcm"))


def test_folder_without_images(tmp_path):
    assert not can_read(tmp_path)
    with pytest.raises(InputError, match="no DICOM"):
        read_volume(tmp_path)
    with pytest.raises(InputError):
        list_series(tmp_path / "absent")


def test_series_below_the_chosen_folder(series, slices):
    series.fill(slices)
    (series.folder / "README").write_text("hello")
    assert read_volume(series.folder.parent).data.size == slices.size


class TestTime:
    @pytest.mark.parametrize("key", ["TemporalPositionIdentifier", "AcquisitionNumber", "InstanceNumber"])
    def test_equal_positions_are_time_points(self, series, slices, key):
        n = 0
        for t in range(3):
            for k in range(4):
                n += 1
                value = n if key == "InstanceNumber" else t + 1

                def edit(data, value=value):
                    data.InstanceNumber = 1
                    setattr(data, key, value)

                series.add(f"{99 - n}.dcm", k, slices[k] + 1000 * t, edit=edit)
        volume = read_volume(series.folder)
        assert volume.data.shape[0] == 3
        for t in range(3):
            found = from_canonical(volume.data, volume.source)[t].T
            np.testing.assert_array_equal(found, slices[:4] + 1000 * t - 1024)

    def test_incomplete_time_point_is_refused(self, series, slices):
        for n in range(7):
            series.add(
                f"{n}.dcm", n % 4, slices[0], edit=lambda d, n=n: setattr(d, "AcquisitionNumber", n // 4)
            )
        with pytest.raises(InputError, match=r"3\.dcm"):
            read_volume(series.folder)


def test_multi_frame_positions_come_from_the_frames(series, slices):
    affine = make_affine(degrees=(12, -25, 40))
    path = series.multi_frame(slices, affine, order=[3, 0, 4, 1, 2])
    for where in (path, series.folder):
        volume = read_volume(where)
        np.testing.assert_allclose(volume.source.affine, LPS @ affine, atol=1e-6)
        np.testing.assert_array_equal(stored(volume), slices * 2 + 10 * np.arange(5)[:, None, None])


def test_multi_frame_time_points(series):
    values = np.arange(6 * 6 * 7, dtype=np.int16).reshape(6, 6, 7)
    path = series.multi_frame(values, make_affine(), order=[5, 2, 0, 3, 1, 4], n_times=2)
    volume = read_volume(path)
    assert volume.data.shape == (2, 3, 6, 7)
    for t in range(2):
        found = from_canonical(volume.data, volume.source)[t].T
        np.testing.assert_array_equal(found, values[t::2] * 2 + 10 * np.arange(3)[:, None, None])


def test_multi_frame_cut_short(series, slices):
    path = series.multi_frame(slices, make_affine(), order=list(range(5)))
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"multi\.dcm"):
        read_volume(path)


def test_picture_without_geometry_is_one_slice(series, slices):
    def edit(data):
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            del data[name]
        data.ImagerPixelSpacing = [0.2, 0.3]

    volume = read_volume(series.add("cr.dcm", 0, slices[0], edit=edit))
    assert volume.shape == (1, 6, 7)
    assert volume.spacing_mm[1:] == (0.2, 0.3)
    np.testing.assert_array_equal(volume.data[0], slices[0] - 1024)


def test_rle_and_the_decoder_of_simpleitk(series, slices, monkeypatch):
    """RLE through pydicom and, when pydicom cannot decode, through SimpleITK: the same voxels, rescaled once."""

    def edit(data):
        data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)

    series.fill(slices, edit=edit)
    np.testing.assert_array_equal(stored(read_volume(series.folder)), slices - 1024)

    def fail(self):
        raise RuntimeError("no decoder")

    monkeypatch.setattr(pydicom.dataset.Dataset, "pixel_array", property(fail))
    np.testing.assert_array_equal(stored(read_volume(series.folder)), slices - 1024)
