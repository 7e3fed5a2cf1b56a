"""One door to all models. Importing this module does not import torch; loading a model does."""

from __future__ import annotations

from pathlib import Path

from napari_sam_med.core.errors import ModelError
from napari_sam_med.core.result import Segmenter
from napari_sam_med.models.catalog import CATALOG, ModelSpec
from napari_sam_med.models.weights import Progress, fetch, find


def load_model(name_or_file: str | Path, device: str = "auto", progress: Progress | None = None) -> Segmenter:
    """Load a model by its name in the catalog or from a checkpoint file.

    Parameters
    ----------
    name_or_file : str or Path
        A name of ``CATALOG``; weights that are not here are downloaded first (see
        :func:`~napari_sam_med.models.weights.fetch`). Or the path of a SAM checkpoint of any ViT size (``.pth``), or of
        weights of the built-in architecture (``.safetensors``).
    device : str
        "auto" (CUDA, then MPS, then CPU), "cpu", "cuda" or "mps".
    progress : callable, optional
        ``progress(done_bytes, total_bytes)`` of a download.

    Raises
    ------
    ModelError
        With a sentence: unknown name, file missing, truncated, not of this kind, device not there, no network.
    """
    text = str(name_or_file)
    if text in CATALOG:
        return _load_known(CATALOG.get(text), device, progress)
    path = Path(text).expanduser()
    if not path.is_file():
        known = ", ".join(CATALOG)
        raise ModelError(
            f"{text!r} is neither a model ({known}) nor a checkpoint file that exists; check the name or the path."
        )
    return _load_file(path, device)


def _load_known(spec: ModelSpec, device: str, progress: Progress | None) -> Segmenter:
    if spec.bundled:
        return _load_builtin(None, device)
    path = find(spec) or fetch(spec, progress)
    return _load_sam(path, device, spec)


def _load_file(path: Path, device: str) -> Segmenter:
    if path.suffix.lower() == ".safetensors":
        return _load_builtin(path, device)
    return _load_sam(path, device, None)


def _load_builtin(path: Path | None, device: str) -> Segmenter:
    from napari_sam_med.models.builtin import load_builtin
    from napari_sam_med.models.device import choose_device, set_threads

    set_threads()
    model = load_builtin(path, choose_device(device))
    if path is not None:
        model.name = path.name
    return model


def _load_sam(path: Path, device: str, spec: ModelSpec | None) -> Segmenter:
    from napari_sam_med.models.device import choose_device, set_threads
    from napari_sam_med.models.sam import load_sam

    set_threads()
    return load_sam(path, choose_device(device), spec)
