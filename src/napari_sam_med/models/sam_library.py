"""What is used of ``segment_anything``, imported without triton. Imports torch and torchvision."""

from __future__ import annotations

from napari_sam_med.models.no_triton import without_triton

with without_triton():
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
    from segment_anything.utils.transforms import ResizeLongestSide

__all__ = ["ImageEncoderViT", "MaskDecoder", "PromptEncoder", "ResizeLongestSide", "Sam", "TwoWayTransformer"]
