"""The plugin's settings, as declared in ``napari.yaml`` and edited in napari's preferences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PLUGIN = "napari-sam-med"


@dataclass(frozen=True)
class Settings:
    """What the user can set.

    Attributes
    ----------
    memory_mib, disk_gib : float
        Budgets of the embedding cache.
    folder : Path or None
        Folder of the embedding cache; None for the platform's cache folder.
    device : str
        "auto", "cpu", "cuda" or "mps".
    neighbours : int
        How many slices on each side of the visible one are encoded ahead.
    """

    memory_mib: float = 512.0
    disk_gib: float = 10.0
    folder: Path | None = None
    device: str = "auto"
    neighbours: int = 2


def read_settings() -> Settings:
    """Settings from napari's preferences; the defaults where the plugin is not registered with napari."""
    from napari.settings import get_plugin_settings

    try:
        stored = get_plugin_settings(PLUGIN)
    except KeyError:
        return Settings()
    cache, model = stored.cache, stored.model
    folder = str(cache.folder).strip()
    return Settings(
        memory_mib=float(cache.memory_mib),
        disk_gib=float(cache.disk_gib),
        folder=Path(folder).expanduser() if folder else None,
        device=str(model.device),
        neighbours=int(model.neighbours),
    )
