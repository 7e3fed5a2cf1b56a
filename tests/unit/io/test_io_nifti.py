from __future__ import annotations

import contextlib
import gzip
import struct

import nibabel
import numpy as np
import pytest

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import from_canonical
from napari_sam_med.io import read_volume


def test_voxels_and_affine_return_to_the_file(write_nifti, ramp, any_affine):
    path = write_nifti(ramp, any_affine)
    volume = read_volume(path)
    np.testing.assert_array_equal(from_canonical(volume.data, volume.source), ramp)
    np.testing.assert_allclose(volume.source.affine, nibabel.load(path).affine, atol=1e-6)
    assert volume.data.dtype == np.int16
    # the same world point through both affines
    corner = volume.affine @ [*(n - 1 for n in volume.shape), 1]
    value = volume.data[-1, -1, -1]
    index = np.argwhere(ramp == value)[0]
    np.testing.assert_allclose(corner[:3], (any_affine @ [*index, 1])[:3], atol=1e-4)


def test_sheared_affine_is_kept_and_reported(write_nifti, ramp):
    shear = np.array([[1, 0, 0.4, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]])
    volume = read_volume(write_nifti(ramp, shear))
    np.testing.assert_allclose(volume.source.affine, shear, atol=1e-6)
    assert len(volume.metadata["warnings"]) == 1


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img", "naïve (copy) 图像.NII.GZ"])
def test_every_suffix(write_nifti, ramp, name):
    kind = nibabel.Nifti1Pair if name.endswith(".img") else nibabel.Nifti1Image
    path = write_nifti(ramp, name=name.lower(), kind=kind)
    final = path.rename(path.with_name(name))
    np.testing.assert_array_equal(np.sort(read_volume(final).data.ravel()), np.sort(ramp.ravel()))


def test_header_of_a_pair_opens_its_image(write_nifti, ramp):
    path = write_nifti(ramp, name="pair.img", kind=nibabel.Nifti1Pair)
    assert read_volume(path.with_suffix(".hdr")).data.size == ramp.size
    path.unlink()
    with pytest.raises(InputError, match=r"pair\.img"):
        read_volume(path.with_suffix(".hdr"))


def test_nifti2_and_big_endian(tmp_path, ramp):
    path = tmp_path / "two.nii"
    nibabel.Nifti2Image(ramp, np.eye(4)).to_filename(path)
    assert read_volume(path).metadata["format"] == "NIfTI-2"
    big = tmp_path / "big.nii"
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.Nifti1Image(ramp.astype(">i2"), np.eye(4), header).to_filename(big)
    volume = read_volume(big)
    assert volume.data.dtype.isnative
    np.testing.assert_array_equal(from_canonical(volume.data, volume.source), ramp)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float64])
def test_slope_and_intercept_are_applied(write_nifti, ramp, dtype):
    path = write_nifti(ramp.astype(dtype), name="s.nii", edit=lambda h: h.set_slope_inter(2.5, -3.0))
    scaled = read_volume(path)
    assert scaled.data.dtype == np.float32
    np.testing.assert_allclose(
        from_canonical(scaled.data, scaled.source), nibabel.load(path).get_fdata(), rtol=1e-6
    )
    assert scaled.data.max() == 2.5 * ramp.max() - 3


def test_two_dimensional_file_is_one_slice(tmp_path):
    data = np.arange(12, dtype=np.uint8).reshape(4, 3)
    image = nibabel.Nifti1Image(data, np.diag([2.0, 3.0, 1.0, 1.0]))
    image.to_filename(tmp_path / "flat.nii")
    volume = read_volume(tmp_path / "flat.nii")
    assert sorted(volume.shape) == [1, 3, 4]
    assert volume.metadata["source_ndim"] == 2


def test_four_dimensions_put_time_first(write_nifti, ramp):
    data = np.stack([ramp, ramp + 1000], axis=-1)
    volume = read_volume(write_nifti(data, edit=lambda h: h.set_zooms((1, 1, 1, 2.5))))
    assert volume.n_times == 2
    assert volume.time_step == 2.5
    np.testing.assert_array_equal(from_canonical(volume.data, volume.source)[1], ramp + 1000)


def test_trailing_single_axes_vanish_and_vectors_are_refused(write_nifti, ramp):
    assert read_volume(write_nifti(ramp[..., None, None])).data.ndim == 3
    with pytest.raises(InputError, match="vectors"):
        read_volume(write_nifti(np.repeat(ramp[..., None, None], 3, axis=4)))


@pytest.mark.parametrize(
    "dtype",
    [np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]), np.dtype([(c, "u1") for c in "RGBA"])],
)
def test_colours_and_complex_numbers_are_refused(write_nifti, dtype):
    with pytest.raises(InputError, match=r"complex|RGB"):
        read_volume(write_nifti(np.zeros((3, 3, 3), dtype)))


def test_label_names_of_the_header_extension(write_nifti, ramp):
    from napari_sam_med.io.nifti import label_extension

    names = {1: "liver", 12: "left kidney & <adrenal> ü"}
    code = nibabel.nifti1.Nifti1Extension("caret", label_extension(names))
    path = write_nifti(ramp, edit=lambda h: h.extensions.append(code))
    assert read_volume(path).label_names == names


def test_not_a_number_is_kept_and_reported(write_nifti):
    data = np.ones((4, 4, 4), np.float32)
    data[0, 0, 0], data[1] = np.inf, np.nan
    volume = read_volume(write_nifti(data))
    assert np.isnan(volume.data).sum() == 16
    assert "17" in volume.metadata["warnings"][0]


@pytest.mark.parametrize(
    ("offset", "value"),
    [(76 + 4, 0.0), (76 + 8, float("nan")), (76 + 12, -1.0), (76 + 4, float("inf"))],
)
def test_spacing_that_is_no_spacing_is_refused(tmp_path, ramp, offset, value):
    path = tmp_path / "a.nii"
    image = nibabel.Nifti1Image(ramp, np.eye(4))
    image.header["qform_code"] = image.header["sform_code"] = 0
    image.to_filename(path)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<2h", raw, 252, 0, 0)
    struct.pack_into("<f", raw, offset, value)
    path.write_bytes(raw)
    with pytest.raises(InputError, match="spacing"):
        read_volume(path)


def test_singular_sform_is_refused_unless_qform_is_good(tmp_path, ramp):
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(ramp, np.diag([2.0, 2.0, 2.0, 1.0])).to_filename(path)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<12f", raw, 280, *[0.0] * 12)
    struct.pack_into("<2h", raw, 252, 0, 2)
    path.write_bytes(raw)
    with pytest.raises(InputError, match="singular"):
        read_volume(path)
    struct.pack_into("<2h", raw, 252, 1, 2)
    path.write_bytes(raw)
    volume = read_volume(path)
    assert volume.spacing_mm == (2.0, 2.0, 2.0)
    assert "qform" in volume.metadata["warnings"][0]


def test_file_without_orientation_is_read_with_a_warning(tmp_path, ramp):
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(ramp, None).to_filename(path)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<2h", raw, 252, 0, 0)
    path.write_bytes(raw)
    assert "orientation" in read_volume(path).metadata["warnings"][0]


def test_micrometres_become_mm_and_impossible_metres_do_not(write_nifti, ramp):
    micro = write_nifti(ramp, np.diag([25.0, 25.0, 25.0, 1]), "m.nii", lambda h: h.set_xyzt_units("micron"))
    assert read_volume(micro).spacing_mm == pytest.approx((0.025,) * 3)
    metre = write_nifti(ramp, np.diag([2.0, 2.0, 2.0, 1]), "k.nii", lambda h: h.set_xyzt_units("meter"))
    assert read_volume(metre).spacing_mm == pytest.approx((2.0,) * 3)


class TestDamage:
    def test_truncated_raw(self, write_nifti, ramp):
        path = write_nifti(ramp, name="a.nii")
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(InputError, match="cut short"):
            read_volume(path)

    @pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.98])
    def test_truncated_gzip(self, write_nifti, rng_volume, part):
        path = write_nifti(rng_volume)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(InputError):
            read_volume(path)

    def test_one_flipped_bit_in_gzip_is_noticed(self, write_nifti, rng_volume):
        path = write_nifti(rng_volume)
        raw = bytearray(path.read_bytes())
        for place in range(len(raw) // 2, len(raw) // 2 + 40):
            damaged = raw.copy()
            damaged[place] ^= 1
            path.write_bytes(damaged)
            with pytest.raises(InputError):
                read_volume(path)

    def test_claim_of_huge_size_takes_no_memory(self, tmp_path):
        header = nibabel.Nifti1Header()
        header.set_data_shape((30000, 30000, 30000))
        header.set_data_dtype(np.uint8)
        header["vox_offset"] = 352
        for name, opener in (("huge.nii", open), ("huge.nii.gz", gzip.open)):
            with opener(tmp_path / name, "wb") as file:
                header.write_to(file)
                file.write(bytes(4000))
            with pytest.raises(InputError, match="cut short"):
                read_volume(tmp_path / name)

    def test_name_and_content_disagree(self, write_nifti, ramp):
        plain = write_nifti(ramp, name="a.nii")
        misnamed = plain.rename(plain.with_name("a.nii.gz"))
        with pytest.raises(InputError, match=r"\.gz"):
            read_volume(misnamed)
        zipped = write_nifti(ramp, name="b.nii.gz")
        with pytest.raises(InputError, match="gz"):
            read_volume(zipped.rename(zipped.with_name("b.nii")))

    def test_other_content(self, tmp_path):
        contents = {
            "empty.nii.gz": b"",
            "page.nii.gz": b"<!DOCTYPE html><html>404</html>",
            "text.nii": b"hello" * 99,
        }
        contents["lfs.nii.gz"] = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
        contents["zipped_page.nii.gz"] = gzip.compress(b"<html>404</html>")
        contents["zipped_nothing.nii.gz"] = gzip.compress(b"")
        contents["analyze.nii"] = struct.pack("<i", 348) + bytes(344)
        contents["cut_header.nii"] = struct.pack("<i", 348) + bytes(100)
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
            with pytest.raises(InputError, match=name):
                read_volume(tmp_path / name)

    def test_damaged_headers_give_sentences_only(self, write_nifti, ramp):
        path = write_nifti(ramp, name="a.nii")
        whole = bytearray(path.read_bytes())
        rng = np.random.default_rng(3)
        for _ in range(300):
            raw = whole.copy()
            for place in rng.integers(0, 352, 4):
                raw[place] = rng.integers(256)
            path.write_bytes(raw)
            with contextlib.suppress(InputError):
                read_volume(path)


@pytest.fixture
def rng_volume():
    """Voxels that deflate badly, so that a cut anywhere loses some."""
    return np.random.default_rng(0).integers(0, 4000, (20, 20, 20)).astype(np.int16)
