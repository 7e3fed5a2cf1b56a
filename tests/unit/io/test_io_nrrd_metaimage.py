"""SimpleITK writes, the project reads: NRRD and MetaImage."""

from __future__ import annotations

import bz2
import contextlib
import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import from_canonical
from napari_sam_med.io import read_volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SUFFIXES = [".nrrd", ".nhdr", ".mha", ".mhd"]


def write(path, data, affine, compress=False, keys=()):
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.T))
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    for key, value in keys:
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), compress)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("compress", [False, True])
def test_voxels_and_affine(tmp_path, ramp, any_affine, suffix, compress):
    volume = read_volume(write(tmp_path / f"a{suffix}", ramp, any_affine, compress))
    np.testing.assert_array_equal(from_canonical(volume.data, volume.source), ramp)
    np.testing.assert_allclose(volume.source.affine, any_affine, atol=1e-9)
    assert volume.data.dtype == np.int16


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_voxel_types(tmp_path, suffix, dtype):
    data = np.array([[[0, 1], [2, 100]]], dtype)
    volume = read_volume(write(tmp_path / f"a{suffix}", data, np.eye(4)))
    assert volume.data.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(from_canonical(volume.data, volume.source), data)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_two_dimensions_are_one_slice(tmp_path, suffix):
    image = sitk.GetImageFromArray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    image.SetSpacing((0.5, 2.0))
    image.SetOrigin((10.0, 20.0))
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    volume = read_volume(tmp_path / f"a{suffix}")
    assert volume.shape == (1, 3, 4)
    assert volume.spacing_mm == (1.0, 2.0, 0.5)
    np.testing.assert_array_equal(volume.data[0], np.arange(12).reshape(3, 4))
    assert volume.metadata["source_ndim"] == 2
    np.testing.assert_allclose(volume.source.affine[:2, 3], (-10, -20))


def test_label_names_of_a_slicer_segmentation(tmp_path, ramp):
    keys = [("Segment0_Name", "liver"), ("Segment0_LabelValue", "4"), ("Segment1_Name", "spleen")]
    for suffix in (".seg.nrrd", ".mha"):
        volume = read_volume(write(tmp_path / f"a{suffix}", ramp, np.eye(4), keys=keys))
        assert volume.label_names == {4: "liver"}
        assert volume.name == "a"


HEAD = "NRRD0004\ntype: {type}\ndimension: {n}\nsizes: {sizes}\nendian: little\nencoding: {encoding}\n{more}"


def nrrd(path, payload, sizes="3 2 2", n=3, kind="short", encoding="raw", more="", end="\n"):
    text = HEAD.format(type=kind, n=n, sizes=sizes, encoding=encoding, more=more)
    path.write_bytes(text.encode() + end.encode() + payload)
    return path


VALUES = np.arange(12, dtype="<i2")
CUBE = VALUES.reshape(2, 2, 3).T


def stored(volume):
    return from_canonical(volume.data, volume.source)


@pytest.mark.parametrize(
    ("encoding", "payload"),
    [
        ("gzip", gzip.compress(VALUES.tobytes())),
        ("bzip2", bz2.compress(VALUES.tobytes())),
        ("ascii", b" ".join(b"%d" % v for v in VALUES)),
        ("hex", VALUES.tobytes().hex().encode()),
    ],
)
def test_nrrd_encodings(tmp_path, encoding, payload):
    volume = read_volume(nrrd(tmp_path / "a.nrrd", payload, encoding=encoding))
    np.testing.assert_array_equal(stored(volume), CUBE)


def test_nrrd_spaces(tmp_path):
    where = "space: {}\nspace directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (10,20,30)\n"
    for space, signs in (("RAS", (1, 1, 1)), ("left-anterior-superior", (-1, 1, 1)), ("LPS", (-1, -1, 1))):
        volume = read_volume(nrrd(tmp_path / "a.nrrd", VALUES.tobytes(), more=where.format(space)))
        np.testing.assert_allclose(volume.source.affine[:3, 3], np.array(signs) * (10, 20, 30))
        np.testing.assert_allclose(np.diag(volume.source.affine)[:3], np.array(signs) * (2, 3, 4))


def test_nrrd_list_axis_is_time_and_colours_are_refused(tmp_path):
    where = "space: RAS\nspace directions: none (1,0,0) (0,1,0) (0,0,1)\nkinds: {} domain domain domain\n"
    data = np.arange(24, dtype="<i2")
    path = nrrd(tmp_path / "a.nrrd", data.tobytes(), "2 3 2 2", 4, more=where.format("list"))
    volume = read_volume(path)
    assert volume.n_times == 2
    np.testing.assert_array_equal(stored(volume)[1], data.reshape(2, 2, 3, 2).T[1])
    for kind in ("vector", "RGB-color", "complex"):
        path = nrrd(tmp_path / "a.nrrd", data.tobytes(), "2 3 2 2", 4, more=where.format(kind))
        with pytest.raises(InputError, match="colours"):
            read_volume(path)


class TestDetachedNrrd:
    def header(self, folder, data_file, skip=""):
        return nrrd(folder / "a.nhdr", b"", more=f"{skip}data file: {data_file}\n", end="")

    def test_byte_skip_and_line_skip(self, tmp_path):
        (tmp_path / "v.raw").write_bytes(b"one\ntwo\nxyz" + VALUES.tobytes())
        for skip in ("byte skip: -1\n", "line skip: 2\nbyte skip: 3\n"):
            volume = read_volume(self.header(tmp_path, "v.raw", skip))
            np.testing.assert_array_equal(stored(volume), CUBE)

    def test_bytes_that_nobody_described_are_refused(self, tmp_path):
        (tmp_path / "v.raw").write_bytes(b"header" + VALUES.tobytes())
        with pytest.raises(InputError, match="byte skip"):
            read_volume(self.header(tmp_path, "v.raw"))

    def test_files_elsewhere_are_not_followed(self, tmp_path):
        folder = tmp_path / "in"
        folder.mkdir()
        (tmp_path / "secret.raw").write_bytes(VALUES.tobytes())
        for name in ("../secret.raw", str(tmp_path / "secret.raw")):
            with pytest.raises(InputError, match="outside"):
                read_volume(self.header(folder, name))
        with pytest.raises(InputError, match="not there"):
            read_volume(self.header(folder, "absent.raw"))


META = "ObjectType = Image\nNDims = {n}\nDimSize = {sizes}\nElementType = MET_SHORT\n{more}ElementDataFile = {file}\n"


def meta(path, payload=b"", sizes="3 2 2", n=3, more="ElementSpacing = 1 2 3\n", file="LOCAL"):
    path.write_bytes(META.format(n=n, sizes=sizes, more=more, file=file).encode() + payload)
    return path


def test_metaimage_by_hand(tmp_path):
    big = VALUES.astype(">i2").tobytes()
    more = "BinaryDataByteOrderMSB = True\nElementSpacing = 1 2 3\nModality = MET_MOD_MR\nName = caf\xe9\n"
    path = tmp_path / "a.mha"
    path.write_bytes(META.format(n=3, sizes="3 2 2", more=more, file="LOCAL").encode("latin-1") + big)
    volume = read_volume(path)
    np.testing.assert_array_equal(stored(volume), CUBE)
    assert volume.modality == "MR"
    assert volume.spacing_mm == (3.0, 2.0, 1.0)


def test_metaimage_time_axis(tmp_path):
    data = np.arange(24, dtype="<i2")
    more = "ElementSpacing = 1 1 1 2.5\n"
    volume = read_volume(meta(tmp_path / "a.mha", data.tobytes(), "3 2 2 2", 4, more))
    assert (volume.n_times, volume.time_step) == (2, 2.5)
    np.testing.assert_array_equal(stored(volume)[1].ravel(order="F"), data[12:])


def test_metaimage_data_elsewhere_is_not_followed(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.raw").write_bytes(VALUES.tobytes())
    for name in ("../secret.raw", str(tmp_path / "secret.raw")):
        with pytest.raises(InputError, match="outside"):
            read_volume(meta(folder / "a.mhd", file=name))


@pytest.mark.parametrize("spacing", ["0 1 1", "1 nan 1", "1 1 -2", "1 1", "1 inf 1", "a b c"])
def test_bad_spacing(tmp_path, spacing):
    with pytest.raises(InputError):
        read_volume(meta(tmp_path / "a.mha", VALUES.tobytes(), more=f"ElementSpacing = {spacing}\n"))
    with pytest.raises(InputError):
        read_volume(nrrd(tmp_path / "a.nrrd", VALUES.tobytes(), more=f"spacings: {spacing}\n"))


def test_singular_axes(tmp_path):
    with pytest.raises(InputError, match="singular"):
        read_volume(meta(tmp_path / "a.mha", VALUES.tobytes(), more="TransformMatrix = 1 0 0 1 0 0 0 0 1\n"))
    where = "space: RAS\nspace directions: (1,0,0) (1,0,0) (0,0,1)\n"
    with pytest.raises(InputError, match="singular"):
        read_volume(nrrd(tmp_path / "a.nrrd", VALUES.tobytes(), more=where))


@pytest.mark.parametrize(
    "sizes", ["30000 30000 30000", "0 2 2", "-3 2 2", "3 2", "x 2 2", "nan 1 1", "3 2 1.5"]
)
def test_impossible_sizes(tmp_path, sizes):
    for path in (
        meta(tmp_path / "a.mha", VALUES.tobytes(), sizes),
        meta(tmp_path / "b.mha", VALUES.tobytes(), sizes, more="CompressedData = True\n"),
        nrrd(tmp_path / "a.nrrd", VALUES.tobytes(), sizes),
        nrrd(tmp_path / "b.nrrd", gzip.compress(VALUES.tobytes()), sizes, encoding="gzip"),
    ):
        with pytest.raises(InputError):
            read_volume(path)


def test_five_dimensions_and_channels_are_refused(tmp_path):
    with pytest.raises(InputError, match="shape"):
        read_volume(meta(tmp_path / "a.mha", bytes(64), "2 2 2 2 2", 5, ""))
    with pytest.raises(InputError, match="shape"):
        read_volume(nrrd(tmp_path / "a.nrrd", bytes(64), "2 2 2 2 2", 5))
    with pytest.raises(InputError, match="3 values"):
        read_volume(meta(tmp_path / "b.mha", bytes(72), more="ElementNumberOfChannels = 3\n"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("compress", [False, True])
def test_every_cut_is_noticed(tmp_path, suffix, compress):
    data = np.random.default_rng(0).integers(0, 4000, (20, 20, 20)).astype(np.int16)
    write(tmp_path / f"a{suffix}", data, np.eye(4), compress)
    largest = max(tmp_path.iterdir(), key=lambda p: p.stat().st_size)
    whole = largest.read_bytes()
    for part in (0.1, 0.5, 0.9, 0.999):
        largest.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(InputError):
            read_volume(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_damaged_files_give_sentences_only(tmp_path, ramp, suffix):
    path = write(tmp_path / f"a{suffix}", ramp, np.eye(4), True)
    whole = bytearray(path.read_bytes())
    rng = np.random.default_rng(5)
    for _ in range(400):
        raw = whole.copy()
        for place in rng.integers(0, min(len(raw), 500), 3):
            raw[place] = rng.integers(256)
        path.write_bytes(raw)
        with contextlib.suppress(InputError):
            read_volume(path)


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
def test_other_content(tmp_path, name):
    for content in (b"", b"<html></html>", b"some text\n" * 50, bytes(2000)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_volume(tmp_path / name)
