"""The models this package knows by name: one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_sam_med.core.registry import Registry

PromptKind = Literal["points", "box", "logits"]


@dataclass(frozen=True)
class ModelSpec:
    """What is known about a model before its weights are loaded.

    Attributes
    ----------
    name : str
        Name in the catalog, as given to ``load_model``.
    title : str
        Name for people.
    architecture : str
        "builtin", or "sam" for the networks of ``segment_anything``.
    input_size : int
        Side of the square input of the network, in pixels.
    resize : str
        "longest-side-pad": the longest side is scaled to `input_size`, the rest padded at the bottom and right.
        "longest-side-at-most": only slices above `input_size` are scaled down (and very small ones up).
    normalisation : str
        "imagenet-255": the grey value three times, less ImageNet's mean, by its deviation (0..255).
        "minus-one-to-one": black is -1, white 1.
    prompts : tuple of str
        Kinds of prompt it was trained for.
    multimask : bool
        Whether its three candidates mean different readings of an ambiguous prompt.
    iou_head : bool
        Whether its predicted IoU means anything.
    licence : str
        Licence of the weights.
    url : str
        Where the weights come from; empty when they are part of this package.
    file_name : str
        Name of the weights file.
    sha256 : str
        Of the weights file; empty when it is part of this package.
    size_bytes : int
        Of the weights file; 0 when it is part of this package.
    """

    name: str
    title: str
    architecture: str
    input_size: int
    resize: str
    normalisation: str
    prompts: tuple[PromptKind, ...]
    multimask: bool
    iou_head: bool
    licence: str
    url: str
    file_name: str
    sha256: str
    size_bytes: int

    @property
    def bundled(self) -> bool:
        """Whether the weights are part of this package."""
        return not self.url


CATALOG: Registry[ModelSpec] = Registry("model")

CATALOG.add(
    "builtin",
    ModelSpec(
        name="builtin",
        title="Built-in (no download)",
        architecture="builtin",
        input_size=512,
        resize="longest-side-at-most",
        normalisation="minus-one-to-one",
        prompts=("points", "box", "logits"),
        multimask=True,
        iou_head=True,
        licence="BSD-3-Clause",
        url="",
        file_name="builtin.safetensors",
        sha256="",
        size_bytes=0,
    ),
)


def _sam(name: str, title: str, file_name: str, sha256: str, size_bytes: int) -> ModelSpec:
    return ModelSpec(
        name=name,
        title=title,
        architecture="sam",
        input_size=1024,
        resize="longest-side-pad",
        normalisation="imagenet-255",
        prompts=("points", "box", "logits"),
        multimask=True,
        iou_head=True,
        licence="Apache-2.0",
        url=f"https://dl.fbaipublicfiles.com/segment_anything/{file_name}",
        file_name=file_name,
        sha256=sha256,
        size_bytes=size_bytes,
    )


for _spec in (
    _sam(
        "sam_vit_b",
        "SAM ViT-B",
        "sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        375_042_383,
    ),
    _sam(
        "sam_vit_l",
        "SAM ViT-L",
        "sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        1_249_524_607,
    ),
    _sam(
        "sam_vit_h",
        "SAM ViT-H",
        "sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        2_564_550_879,
    ),
):
    CATALOG.add(_spec.name, _spec)


def licence_of(name: str) -> str:
    """Licence of a model of the catalog; "not stated" for a checkpoint file of one's own."""
    return CATALOG.get(name).licence if name in CATALOG else "not stated"


def spec_of_hash(sha256: str) -> ModelSpec | None:
    """The row whose published weights have this SHA-256, whatever the file is called."""
    return next((s for _, s in CATALOG.items() if s.sha256 and s.sha256 == sha256), None)
