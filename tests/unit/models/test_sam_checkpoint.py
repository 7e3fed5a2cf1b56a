"""Checkpoint files: any ViT size, any usual wrapping, and a sentence for everything else."""

from __future__ import annotations

import pickle

import pytest
import torch
from segment_anything import sam_model_registry

from fixtures.tiny_sam import TINY, save_checkpoint, tiny_sam
from napari_sam_med.core.errors import ModelError
from napari_sam_med.models import catalog, load_model
from napari_sam_med.models.sam_checkpoint import EncoderShape, assemble, build_sam, detect_shape, read_state

OTHER = EncoderShape(
    embed_dim=48, depth=3, heads=3, image_size=128, patch_size=8, window_size=7, global_blocks=(0, 2)
)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return dict(tiny_sam().state_dict())


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_the_published_sizes_are_recognised(name):
    with torch.device("meta"):
        published = sam_model_registry[name]()
    shape = detect_shape(published.state_dict())
    assert shape is not None
    assert shape.name == f"sam_{name}"
    ours = assemble(shape)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in published.state_dict().items()
    }
    blocks = zip(ours.image_encoder.blocks, published.image_encoder.blocks, strict=True)
    assert all(a.window_size == b.window_size and a.attn.num_heads == b.attn.num_heads for a, b in blocks)


@pytest.mark.parametrize("shape", [TINY, OTHER], ids=["tiny", "other"])
def test_other_sizes_are_read_off_the_weights(shape):
    assert detect_shape(assemble(shape).state_dict()) == shape


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"model": s, "epoch": 3},
        lambda s: {"state_dict": s},
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {k: v.half().float() for k, v in s.items()},
    ],
    ids=["plain", "model", "state_dict", "module", "both", "copy"],
)
def test_usual_wrappings_are_accepted(tmp_path, state, wrap):
    torch.save(wrap(state), tmp_path / "x.pth")
    sam, shape = build_sam(read_state(tmp_path / "x.pth"), "x.pth")
    assert shape == TINY
    assert not sam.training
    assert not any(p.requires_grad for p in sam.parameters())


def test_half_precision_weights_become_single(tmp_path, state):
    torch.save({k: v.half() for k, v in state.items()}, tmp_path / "x.pth")
    sam, _ = build_sam(read_state(tmp_path / "x.pth"), "x.pth")
    assert {p.dtype for p in sam.parameters()} == {torch.float32}
    assert sam.pixel_mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])


def refusal(path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(path, device="cpu")
    text = str(caught.value)
    assert path.name in text
    return text


def test_missing_weights_are_counted_and_named(tmp_path, state):
    short = {k: v for k, v in state.items() if not k.startswith("mask_decoder.iou_token")}
    torch.save(short, tmp_path / "short.pth")
    text = refusal(tmp_path / "short.pth")
    assert f"1 of {len(state)}" in text
    assert "mask_decoder.iou_token.weight" in text


def test_another_networks_weights_are_no_sam(tmp_path):
    torch.save(torch.nn.Linear(3, 3).state_dict(), tmp_path / "linear.pth")
    text = refusal(tmp_path / "linear.pth")
    assert "not a SAM checkpoint" in text
    assert "image_encoder.pos_embed" in text


def test_parts_that_sam_does_not_have_are_named(tmp_path, state):
    adapted = {**state, "image_encoder.blocks.0.Adapter.channel.weight": torch.zeros(3)}
    torch.save(adapted, tmp_path / "adapted.pth")
    assert "Adapter.channel.weight" in refusal(tmp_path / "adapted.pth")


def test_weights_of_another_shape_are_named(tmp_path, state):
    torch.save({**state, "mask_decoder.mask_tokens.weight": torch.zeros(2, 256)}, tmp_path / "odd.pth")
    text = refusal(tmp_path / "odd.pth")
    assert "mask_decoder.mask_tokens.weight" in text
    assert "(2, 256)" in text


class Harmful:
    def __reduce__(self):
        return (open, ("harm.txt", "w"))


@pytest.mark.parametrize(
    "write",
    [
        lambda p: p.write_bytes(b""),
        lambda p: p.write_text("this is no checkpoint"),
        lambda p: p.write_bytes(pickle.dumps([1, 2, 3])),
        lambda p: torch.save(torch.zeros(3), p),
        lambda p: torch.save({"epoch": 3}, p),
        lambda p: torch.save({1: {2: 3}}, p),
    ],
    ids=["empty", "text", "list", "tensor", "numbers", "odd"],
)
def test_other_files_get_a_sentence(tmp_path, write):
    write(tmp_path / "x.pth")
    refusal(tmp_path / "x.pth")


def test_a_truncated_checkpoint_gets_a_sentence(tmp_path):
    path = save_checkpoint(tmp_path / "x.pth")
    content = path.read_bytes()
    for part in (100, len(content) // 2, len(content) - 50):
        path.write_bytes(content[:part])
        assert "truncated" in refusal(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_never_run(tmp_path, monkeypatch, state, zipped):
    monkeypatch.chdir(tmp_path)
    torch.save({**state, "x": Harmful()}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    assert "code" in refusal(tmp_path / "x.pth")
    assert not (tmp_path / "harm.txt").exists()


def test_the_fingerprint_names_network_and_weights(tmp_path):
    one = load_model(save_checkpoint(tmp_path / "a.pth"), "cpu")
    same = load_model((tmp_path / "a.pth").rename(tmp_path / "b.pth"), "cpu")
    other = load_model(save_checkpoint(tmp_path / "c.pth", seed=1), "cpu")
    assert one.fingerprint == same.fingerprint
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint.startswith("sam_vit_32x2_256/")
    assert (one.name, same.name) == ("a.pth", "b.pth")


def test_published_weights_are_known_under_any_file_name(tmp_path, monkeypatch):
    import dataclasses

    from napari_sam_med.models.weights import sha256_of

    path = save_checkpoint(tmp_path / "renamed.pth")
    row = dataclasses.replace(catalog.CATALOG.get("sam_vit_b"), sha256=sha256_of(path))
    monkeypatch.setitem(catalog.CATALOG._items, "sam_vit_b", row)
    assert load_model(path, "cpu").name == "sam_vit_b"


def test_medsam_is_refused_rather_than_run_with_sams_recipe(tmp_path):
    assert "MedSAM" in refusal(save_checkpoint(tmp_path / "medsam_vit_b.pth"))
