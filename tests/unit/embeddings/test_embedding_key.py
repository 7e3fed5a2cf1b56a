"""Two slice images share an embedding only if the model would see the same."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam_med.embeddings import embedding_key

PIXELS = np.arange(48, dtype=np.uint8).reshape(6, 8)
KEY = embedding_key(PIXELS, (1.0, 1.0), "model")


def test_the_same_input_has_the_same_key_however_it_lies_in_memory():
    assert embedding_key(np.asfortranarray(PIXELS), (1.0, 1.0), "model") == KEY
    assert embedding_key(np.repeat(PIXELS, 2, axis=1)[:, ::2], (1.0, 1.0), "model") == KEY


def test_only_the_ratio_of_the_spacings_matters():
    assert embedding_key(PIXELS, (0.7, 0.7), "model") == KEY
    assert embedding_key(PIXELS, (6.0, 2.0), "model") == embedding_key(PIXELS, (3.0, 1.0), "model")


def _one_pixel() -> np.ndarray:
    changed = PIXELS.copy()
    changed[5, 7] += 1
    return changed


@pytest.mark.parametrize(
    ("pixels", "spacing", "model"),
    [
        (_one_pixel(), (1.0, 1.0), "model"),
        (PIXELS.reshape(8, 6), (1.0, 1.0), "model"),
        (PIXELS, (3.0, 1.0), "model"),
        (PIXELS, (1.0, 3.0), "model"),
        (PIXELS, (1.0, 1.0), "model2"),
    ],
    ids=["pixel", "shape", "tall voxels", "wide voxels", "model"],
)
def test_anything_the_model_sees_changes_the_key(pixels, spacing, model):
    assert embedding_key(pixels, spacing, model) != KEY


def test_a_key_is_a_file_name():
    assert len(KEY) == 64
    assert set(KEY) <= set("0123456789abcdef")
