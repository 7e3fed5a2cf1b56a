from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import same_grid
from napari_sam_med.io import samples

pytest.importorskip("nilearn", reason="the brain sample is in nilearn's wheel")


@pytest.fixture(scope="module")
def brain():
    return samples.brain_sample()


def test_brain_sample_is_an_image_with_its_tissues(brain):
    image, labels = brain
    assert same_grid(image, labels)
    assert image.shape == (189, 233, 197)
    assert image.spacing_mm == pytest.approx((1, 1, 1))
    assert set(np.unique(labels.data)) == {0, 1, 2}
    # T1: white matter is brighter than grey matter, grey matter brighter than air
    grey, white, air = (float(image.data[labels.data == n].mean()) for n in (1, 2, 0))
    assert white > grey > air


def test_brain_sample_lies_where_its_affine_says(brain):
    _, labels = brain
    z, y, _ = (float(v.mean()) for v in np.nonzero(labels.data == 2))
    # index 0 grows to inferior, index 1 to posterior: the origin of ICBM152 lies in the brain near the middle
    origin = np.linalg.inv(labels.affine) @ (0, 0, 0, 1)
    assert abs(z - origin[0]) < 40
    assert abs(y - origin[1]) < 40


def test_brain_mask_holds_all_tissue_and_is_one_piece(brain):
    from scipy import ndimage

    _, labels = brain
    mask = samples.brain_mask_sample()
    assert same_grid(labels, mask)
    tissue = labels.data > 0
    assert (mask.data[tissue] == 1).mean() > 0.999
    assert 1.2e6 < mask.data.sum() < 2.3e6  # ml of a brain, in mm³
    sizes = np.sort(np.bincount(ndimage.label(mask.data)[0].ravel())[1:])
    assert sizes[-1] > 0.99 * sizes.sum()


def test_without_nilearn_there_is_a_sentence(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "nilearn" else real(name, *a)
    )
    with pytest.raises(InputError, match="pip install"):
        samples.brain_sample()


def test_public_sample_without_network_is_a_sentence(monkeypatch, tmp_path):
    import pooch

    def offline(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(pooch, "retrieve", offline)
    with pytest.raises(InputError, match="network"):
        samples.public_sample("mr-head", tmp_path)
    with pytest.raises(InputError, match="ct-chest"):
        samples.public_sample("nothing", tmp_path)


def test_public_sample_with_other_bytes_is_refused(monkeypatch, tmp_path):
    import pooch

    def tampered(url, known_hash, **kwargs):
        raise ValueError("SHA256 hash of downloaded file does not match")

    monkeypatch.setattr(pooch, "retrieve", tampered)
    with pytest.raises(InputError, match="SHA-256"):
        samples.public_sample("ct-chest", tmp_path)


@pytest.mark.parametrize("case", samples.PUBLIC_CASES.values(), ids=lambda c: c.file_name)
def test_public_cases_are_addressed_by_their_hash(case):
    assert len(case.sha256) == 64
    assert case.url.endswith(case.sha256)
