import numpy as np

from napari_sam_med.core.result import Candidates, Embedding, Segmenter


def test_best_and_ranking_follow_the_scores_and_ties_keep_their_order():
    masks = np.zeros((4, 3, 3), bool)
    candidates = Candidates(
        masks, np.array([0.2, 0.9, 0.9, 0.5], np.float32), np.zeros((4, 2, 2), np.float32)
    )
    assert len(candidates) == 4
    assert candidates.best == 1
    assert candidates.ranked().tolist() == [1, 2, 3, 0]


def test_embedding_size_is_the_sum_of_its_arrays():
    embedding = Embedding({"a": np.zeros(3, np.float16), "b": np.zeros((2, 2), np.float32)}, (4, 4), "m")
    assert embedding.nbytes == 6 + 16


def test_the_fake_segmenter_keeps_the_protocol(fake_segmenter):
    assert isinstance(fake_segmenter, Segmenter)
