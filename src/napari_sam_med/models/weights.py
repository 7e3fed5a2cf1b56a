"""Where weights files are, how they come here, and whether they are what they should be."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import platformdirs

from napari_sam_med.core.errors import Cancelled, ModelError
from napari_sam_med.models.catalog import CATALOG, ModelSpec

FOLDER_VARIABLE = "NAPARI_SAM_MED_WEIGHTS"
Progress = Callable[[int, int], None]


def weights_folder() -> Path:
    """Folder named by the environment variable NAPARI_SAM_MED_WEIGHTS, or "weights" in the user's data folder."""
    told = os.environ.get(FOLDER_VARIABLE)
    return Path(told) if told else Path(platformdirs.user_data_dir("napari-sam-med", False)) / "weights"


def expected_path(spec: ModelSpec) -> Path:
    """Where the weights of a model are looked for."""
    if spec.bundled:
        return Path(str(resources.files("napari_sam_med.models") / "data" / spec.file_name))
    return weights_folder() / spec.file_name


def find(spec: ModelSpec) -> Path | None:
    """The weights file of a model if it is here, complete by its size; its hash is checked when it is loaded."""
    path = expected_path(spec)
    try:
        size = path.stat().st_size
    except OSError:
        return None
    return path if spec.bundled or size == spec.size_bytes else None


def fetch(spec: ModelSpec, progress: Progress | None = None) -> Path:
    """Download the weights of a model, unless they are here, and check their SHA-256.

    Parameters
    ----------
    spec : ModelSpec
        A row of the catalog.
    progress : callable, optional
        ``progress(done_bytes, total_bytes)``, called for each block on the caller's thread. It may raise
        :class:`~napari_sam_med.core.errors.Cancelled`; then nothing is kept.

    Returns
    -------
    Path
        The weights file.

    Raises
    ------
    ModelError
        Without a network or space, or when the file that came is not the published one.
    """
    found = find(spec)
    if found is not None:
        return found
    target = expected_path(spec)
    if spec.bundled:
        raise ModelError(f"{target} is missing; this installation is damaged: install napari-sam-med again.")
    _download(spec, target, progress)
    return target


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_models() -> list[dict[str, Any]]:
    """The catalog as plain rows, without importing torch.

    Returns
    -------
    list of dict
        ``name``, ``title``, ``licence``, ``installed`` (bool), ``size_bytes`` (of the file here, else of the
        download), ``path`` (where the file is or belongs), ``url``.
    """
    rows = []
    for name, spec in CATALOG.items():
        path = find(spec)
        rows.append(
            {
                "name": name,
                "title": spec.title,
                "licence": spec.licence,
                "installed": path is not None,
                "size_bytes": path.stat().st_size if path is not None else spec.size_bytes,
                "path": expected_path(spec),
                "url": spec.url,
            }
        )
    return rows


class _ProgressBar:
    """What pooch expects of a progress bar, in the manner of tqdm."""

    def __init__(self, total: int, report: Progress) -> None:
        self.total = total
        self._done = 0
        self._report = report

    def update(self, amount: int) -> None:
        self._done = min(self._done + amount, self.total)  # pooch counts the last block as a whole one
        self._report(self._done, self.total)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        """Nothing to close."""


def _download(spec: ModelSpec, target: Path, progress: Progress | None) -> None:
    import pooch
    import requests

    bar = _ProgressBar(spec.size_bytes, progress) if progress is not None else False
    by_hand = f"download {spec.url} by hand and put it at {target}"
    try:
        pooch.retrieve(
            spec.url,
            known_hash=f"sha256:{spec.sha256}",
            path=target.parent,
            fname=target.name,
            downloader=pooch.HTTPDownloader(progressbar=bar, chunk_size=2**18, timeout=30),
        )
    except Cancelled:
        raise
    except requests.RequestException as error:
        raise ModelError(
            f"{spec.title} could not be downloaded ({type(error).__name__}: is there a network?); "
            f"try again later, or {by_hand}."
        ) from error
    except ValueError as error:  # pooch: the hash differs
        raise ModelError(
            f"The file that came for {spec.title} is not the published one (its SHA-256 differs); "
            f"try again, or {by_hand}."
        ) from error
    except OSError as error:
        raise ModelError(
            f"{spec.title} could not be written to {target.parent} ({error.strerror or error}); "
            f"it takes {spec.size_bytes / 1e6:.0f} MB. Make room, or set {FOLDER_VARIABLE} to another folder."
        ) from error
