"""Which device runs the model. Imports torch."""

from __future__ import annotations

import logging
import os

import torch

from napari_sam_med.core.errors import ModelError

logger = logging.getLogger(__name__)

THREADS_VARIABLE = "NAPARI_SAM_MED_THREADS"
DEVICES = ("auto", "cpu", "cuda", "mps")
_TOLERANCE = 1e-2


def choose_device(wanted: str = "auto") -> str:
    """Name of the device to use: "cuda", "mps" or "cpu".

    "auto" takes CUDA, then Apple's MPS if it computes what the CPU computes, then the CPU.

    Raises
    ------
    ModelError
        If `wanted` is unknown, not in this machine, or computes something else than the CPU.
    """
    text = wanted.strip().lower()
    if text not in DEVICES:
        raise ModelError(f"There is no device {wanted!r}; choose one of: {', '.join(DEVICES)}.")
    if text == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() and agrees_with_cpu("mps") else "cpu"
    if text == "cuda" and not torch.cuda.is_available():
        raise ModelError("This machine or this build of PyTorch has no CUDA; choose device auto or cpu.")
    if text == "mps":
        if not torch.backends.mps.is_available():
            raise ModelError("This machine or this build of PyTorch has no MPS; choose device auto or cpu.")
        if not agrees_with_cpu("mps"):
            raise ModelError("MPS gives other results than the CPU on this machine; choose device cpu.")
    return text


def agrees_with_cpu(device: str) -> bool:
    """Whether a device gives the CPU's result on a tiny chain of the operations that a segmenter uses."""
    try:
        with torch.inference_mode():
            expected, found = _probe("cpu"), _probe(device).cpu()
    except (RuntimeError, NotImplementedError, TypeError) as error:
        logger.warning("device %s is not used: %s", device, error)
        return False
    if torch.allclose(expected, found, rtol=_TOLERANCE, atol=_TOLERANCE):
        return True
    logger.warning("device %s is not used: its results differ from the CPU's", device)
    return False


def set_threads() -> None:
    """Limit PyTorch's CPU threads to the environment variable NAPARI_SAM_MED_THREADS; untouched when it is not set.

    Raises
    ------
    ModelError
        If it is no whole number above 0.
    """
    text = os.environ.get(THREADS_VARIABLE)
    if not text:
        return
    if not text.isdecimal() or int(text) < 1:
        raise ModelError(f"{THREADS_VARIABLE} must be a whole number above 0; found {text!r}.")
    torch.set_num_threads(int(text))


def _probe(device: str) -> torch.Tensor:
    """Convolution, attention, upsampling and sine of fixed numbers, in float32."""
    values = torch.linspace(-1, 1, 2 * 8 * 8, dtype=torch.float32).reshape(1, 2, 8, 8).to(device)
    kernel = torch.linspace(-0.5, 0.5, 4 * 2 * 9, dtype=torch.float32).reshape(4, 2, 3, 3).to(device)
    image = torch.nn.functional.conv2d(values, kernel, padding=1)
    tokens = image.flatten(2).transpose(1, 2)
    attended = torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
    back = attended.transpose(1, 2).reshape(1, 4, 8, 8)
    large = torch.nn.functional.interpolate(back, scale_factor=4, mode="bilinear", align_corners=False)
    return torch.sin(large)
