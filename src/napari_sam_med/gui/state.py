"""What the panels of one viewer share: the model thread, the model in use, and the volumes behind the layers."""

from __future__ import annotations

import itertools
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QObject

from napari_sam_med.core.volume import Volume
from napari_sam_med.embeddings import DiskStore, EmbeddingCache, default_folder
from napari_sam_med.gui.layers import METADATA_KEY, volume_of_layer
from napari_sam_med.gui.qt_worker import QtModelWorker, Worker, WorkerFactory
from napari_sam_med.gui.settings import Settings, read_settings
from napari_sam_med.inference.requests import (
    DownloadProgress,
    Dropped,
    Failed,
    LoadModel,
    ModelLoaded,
    Stepped,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Layer


@dataclass(frozen=True)
class ModelState:
    """The model the session uses, as reported by the model thread."""

    name: str
    fingerprint: str
    device: str
    licence: str


@dataclass(frozen=True, eq=False)
class _Known:
    """The volume of a layer, and what it was made from."""

    data: Any
    stored: Any
    geometry: tuple[Any, ...]
    volume: Volume

    def fits(self, layer: Layer) -> bool:
        """Whether the layer is still as it was."""
        return (
            self.data is layer.data
            and self.stored is layer.metadata.get(METADATA_KEY)
            and self.geometry == _geometry_of(layer)
        )


def _geometry_of(layer: Layer) -> tuple[Any, ...]:
    affine = np.asarray(layer.affine)
    return (layer.name, tuple(layer.scale), tuple(layer.translate), affine.tobytes())


class Workspace:
    """Shared by the Segment, Evaluate and Diagnostics panels of one viewer; lives on the Qt main thread.

    Parameters
    ----------
    factory : callable, optional
        Starts the model thread: ``factory(on_event) -> worker``. Default: an ``inference.worker.ModelWorker`` with an
        embedding cache after the plugin's settings.

    Attributes
    ----------
    worker_event : Signal(object)
        Every event of the model thread, on the main thread. Compare ``event.number`` with what :meth:`submit` sent.
    model_changed : Signal(object)
        The new :class:`ModelState`, or None while a model is being loaded.
    model_failed : Signal(str)
        One sentence when a model could not be loaded.
    model_progress : Signal(object)
        A ``DownloadProgress``, while the weights of a model come over the network.
    """

    worker_event = Signal(object)
    model_changed = Signal(object)
    model_failed = Signal(str)
    model_progress = Signal(object)

    def __init__(self, factory: WorkerFactory | None = None) -> None:
        self.settings: Settings = read_settings()
        self.model: ModelState | None = None
        self.model_request: str = ""
        self._numbers = itertools.count(1)
        self._loading: int | None = None
        self._before: tuple[ModelState | None, str] = (None, "")
        self._panels = 0
        self._volumes: weakref.WeakKeyDictionary[Any, _Known] = weakref.WeakKeyDictionary()
        self.worker = QtModelWorker(factory or self._default_worker)
        self.worker.event.connect(self._on_event)

    def next_number(self) -> int:
        """A number no other request of this workspace has."""
        return next(self._numbers)

    def submit(self, request: Any) -> int:
        """Queue a request of ``inference.requests`` and return its number."""
        self.worker.submit(request)
        return int(request.number)

    def cancel(self, number: int) -> None:
        """Cancel one request."""
        self.worker.cancel(number)

    def load_model(self, name_or_file: str, device: str | None = None) -> int:
        """Ask the model thread to load a model; the answer is :attr:`model_changed` or :attr:`model_failed`."""
        self.cancel_model()
        self.settings = read_settings()  # a device chosen meanwhile counts from now on
        number = self.next_number()
        self._loading = number
        self._before = (self.model, self.model_request) if self.model is not None else self._before
        self.model_request = name_or_file
        self.model = None
        self.model_changed.emit(None)
        return self.submit(
            LoadModel(number=number, model=name_or_file, device=device or self.settings.device)
        )

    def cancel_model(self) -> None:
        """Stop loading or downloading a model; the model before it stays."""
        if self._loading is not None:
            self.cancel(self._loading)

    def ensure_model(self, default: str = "builtin") -> None:
        """Load a model unless one is in use or on its way."""
        if self.model is None and self._loading is None:
            self.load_model(default)

    def volume_of(self, layer: Layer) -> Volume:
        """The volume of a layer; made once for each array the layer holds.

        Raises
        ------
        InputError
            If the layer cannot be a volume (see :func:`napari_sam_med.gui.layers.volume_of_layer`).
        """
        key = bare(layer)
        known = self._volumes.get(key)
        if known is None or not known.fits(key):
            stored = key.metadata.get(METADATA_KEY)
            known = _Known(key.data, stored, _geometry_of(key), volume_of_layer(key))
            self._volumes[key] = known
        return known.volume

    def attach(self, panel: QObject) -> None:
        """Keep the model thread as long as one attached panel lives; it stops when the last is destroyed."""
        self._panels += 1
        panel.destroyed.connect(self._panel_gone)

    def close(self, timeout: float = 0.0) -> None:
        """Stop the model thread; the next request starts a new one."""
        self.worker.close(timeout)
        self.model = None
        self._loading = None
        self._before = (None, "")

    def _panel_gone(self) -> None:
        self._panels -= 1
        if self._panels <= 0:
            self.close()

    def _default_worker(self, on_event: Callable[[Any], None]) -> Worker:
        from napari_sam_med.inference.worker import ModelWorker

        return ModelWorker(on_event, make_cache(self.settings))

    def _on_event(self, event: Any) -> None:
        if event.number == self._loading:
            self._on_loading(event)
        self.worker_event.emit(event)

    def _on_loading(self, event: Any) -> None:
        if isinstance(event, Stepped) and isinstance(event.value, DownloadProgress):
            self.model_progress.emit(event.value)
        elif isinstance(event, ModelLoaded):
            self._loading = None
            self.model = ModelState(event.name, event.fingerprint, event.device, event.licence)
            self.model_changed.emit(self.model)
        elif isinstance(event, (Failed, Dropped)):  # the model thread goes on with the model it had
            self._loading = None
            self.model, self.model_request = self._before
            if self.model is not None:
                self.model_changed.emit(self.model)
            self.model_failed.emit(
                event.message
                if isinstance(event, Failed)
                else "The model was not loaded, because that was cancelled."
            )


def make_cache(settings: Settings) -> EmbeddingCache:
    """The embedding cache in the folder and with the budgets of the settings."""
    folder = settings.folder or default_folder()
    return EmbeddingCache(DiskStore(folder, int(settings.disk_gib * 2**30)), int(settings.memory_mib * 2**20))


_workspaces: weakref.WeakKeyDictionary[Any, Workspace] = weakref.WeakKeyDictionary()


def bare(thing: Any) -> Any:
    """The napari object behind a plugin proxy, to serve as a key; never used to reach private attributes."""
    return getattr(thing, "__wrapped__", thing)


def workspace_for(viewer: napari.Viewer, factory: WorkerFactory | None = None) -> Workspace:
    """The workspace of a viewer; made at the first call.

    Parameters
    ----------
    viewer : napari.Viewer
        Two viewers never share a workspace.
    factory : callable, optional
        How to start the model thread; heeded at the first call only (tests put a slow or failing model here).
    """
    key = bare(viewer)
    found = _workspaces.get(key)
    if found is None:
        found = Workspace(factory)
        _workspaces[key] = found
        weakref.finalize(key, found.close)
    return found
