"""Reading SAM checkpoints: which network, are all weights there. Imports torch."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from napari_sam_med.core.errors import ModelError
from napari_sam_med.models.sam_library import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

State = dict[str, torch.Tensor]

_WRAPPERS = ("model", "state_dict", "model_state_dict")
_KNOWN_SIZES = {(768, 12): "vit_b", (1024, 24): "vit_l", (1280, 32): "vit_h"}
_PROMPT_DIM = 256


@dataclass(frozen=True)
class EncoderShape:
    """What tells one SAM image encoder from another; all of it can be read off the shapes of the weights.

    Attributes
    ----------
    embed_dim, depth, heads : int
        Width, number of blocks, attention heads.
    image_size, patch_size, window_size : int
        Input side in pixels, patch side in pixels, attention window in patches.
    global_blocks : tuple of int
        Blocks that attend to the whole image.
    """

    embed_dim: int
    depth: int
    heads: int
    image_size: int
    patch_size: int
    window_size: int
    global_blocks: tuple[int, ...]

    @property
    def name(self) -> str:
        """ "vit_b", "vit_l", "vit_h", or the numbers of another size; with the input side unless it is SAM's 1024."""
        size = _KNOWN_SIZES.get((self.embed_dim, self.depth), f"vit_{self.embed_dim}x{self.depth}")
        return f"sam_{size}" if self.image_size == 1024 else f"sam_{size}_{self.image_size}"


VIT_B = EncoderShape(768, 12, 12, 1024, 16, 14, (2, 5, 8, 11))


def read_state(path: Path) -> State:
    """Weights by name from a PyTorch checkpoint, read without running any code of the file.

    ``{"model": ...}`` and ``{"state_dict": ...}`` are unwrapped and the prefix ``module.`` is cut off.

    Raises
    ------
    ModelError
        If the file is empty, truncated, of another kind, or holds more than tensors.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of TorchScript archives before it refuses them
            content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        raise ModelError(
            f"{path.name} cannot be read as a PyTorch checkpoint: it is truncated, of another kind, or holds program "
            "code instead of weights; download it again or choose another file."
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    state = _tensors(content)
    if not state:
        raise ModelError(
            f"{path.name} holds no named weights; expected a SAM checkpoint such as sam_vit_b_01ec64.pth."
        )
    return state


def build_sam(state: State, what: str) -> tuple[Sam, EncoderShape]:
    """A SAM on the CPU with these weights, in float32 and evaluation mode.

    Parameters
    ----------
    state : dict of str to Tensor
        From :func:`read_state`.
    what : str
        Name of the file, for messages.

    Raises
    ------
    ModelError
        Naming the weights that are missing, unknown or of another shape.
    """
    shape = detect_shape(state) or VIT_B
    sam = assemble(shape)
    _require_fit(sam.state_dict(), state, what)
    sam.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return sam.eval().requires_grad_(False), shape


def detect_shape(state: Mapping[str, torch.Tensor]) -> EncoderShape | None:
    """Read the image encoder's size off its weights; None if they are not those of a SAM encoder."""
    position = state.get("image_encoder.pos_embed")
    patch = state.get("image_encoder.patch_embed.proj.weight")
    relative = {
        int(match[1]): tensor
        for name, tensor in state.items()
        if (match := re.fullmatch(r"image_encoder\.blocks\.(\d+)\.attn\.rel_pos_h", name))
    }
    depth = len(relative)
    if (
        position is None
        or patch is None
        or position.ndim != 4
        or patch.ndim != 4
        or set(relative) != set(range(depth))
    ):
        return None
    grid, embed_dim, patch_size = position.shape[1], position.shape[3], patch.shape[3]
    if depth == 0 or any(t.ndim != 2 for t in relative.values()) or embed_dim % relative[0].shape[1]:
        return None
    # a block's table has 2n-1 rows, where n is the side of what it attends to: the window or the whole grid
    sides = {block: (tensor.shape[0] + 1) // 2 for block, tensor in relative.items()}
    windows = [side for side in sides.values() if side != grid]
    return EncoderShape(
        embed_dim=embed_dim,
        depth=depth,
        heads=embed_dim // relative[0].shape[1],
        image_size=grid * patch_size,
        patch_size=patch_size,
        window_size=windows[0] if windows else VIT_B.window_size,
        global_blocks=tuple(sorted(block for block, side in sides.items() if side == grid)),
    )


def assemble(shape: EncoderShape, device: str = "meta") -> Sam:
    """A SAM of a given size; on the device "meta" its weights take no memory until they are assigned."""
    grid = shape.image_size // shape.patch_size
    with torch.device(device):
        encoder = ImageEncoderViT(
            img_size=shape.image_size,
            patch_size=shape.patch_size,
            embed_dim=shape.embed_dim,
            depth=shape.depth,
            num_heads=shape.heads,
            mlp_ratio=4,
            out_chans=_PROMPT_DIM,
            qkv_bias=True,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=shape.window_size,
            global_attn_indexes=shape.global_blocks,
        )
        prompts = PromptEncoder(
            embed_dim=_PROMPT_DIM,
            image_embedding_size=(grid, grid),
            input_image_size=(shape.image_size, shape.image_size),
            mask_in_chans=16,
        )
        decoder = MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=_PROMPT_DIM, mlp_dim=2048, num_heads=8),
            transformer_dim=_PROMPT_DIM,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        )
    # outside: the buffers with SAM's pixel mean and deviation are no weights and must hold their numbers
    return Sam(
        encoder, prompts, decoder, pixel_mean=[123.675, 116.28, 103.53], pixel_std=[58.395, 57.12, 57.375]
    )


def _tensors(content: Any) -> State:
    if not isinstance(content, Mapping):
        return {}
    return {
        str(name).removeprefix("module."): value
        for name, value in content.items()
        if isinstance(value, torch.Tensor)
    }


def _require_fit(expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor], what: str) -> None:
    missing = [name for name in expected if name not in found]
    if missing:
        raise ModelError(
            f"{what} is not a SAM checkpoint: {len(missing)} of {len(expected)} expected weights are missing "
            f"({_some(missing)}); choose a file such as sam_vit_b_01ec64.pth."
        )
    unknown = [name for name in found if name not in expected]
    if unknown:
        raise ModelError(
            f"{what} is a SAM with other parts: {len(unknown)} of its weights are unknown to SAM ({_some(unknown)}); "
            "choose a checkpoint of the original architecture."
        )
    other = [name for name in expected if expected[name].shape != found[name].shape]
    if other:
        first = other[0]
        raise ModelError(
            f"{what} is a SAM of another shape: {len(other)} weights differ in size ({_some(other)}; {first} should be "
            f"{tuple(expected[first].shape)} and is {tuple(found[first].shape)}); choose a checkpoint of the original "
            "architecture."
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
