"""Keys and the mouse on the canvas, bound as long as a panel lives."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import napari

# Single letters that no layer of napari uses itself.
KEYS: dict[str, str] = {
    "box": "W",
    "point": "Q",
    "segment": "J",
    "next": "N",
    "accept": "G",
    "undo": "U",
    "clear": "K",
    "object": "H",
}
_RIGHT = 2


class Dragged(Protocol):
    """What a right-drag on the canvas moves."""

    def begin_window_drag(self) -> bool:
        """Whether there is a window to move."""

    def drag_window(self, right_px: float, down_px: float) -> None:
        """Move it by so many pixels since the drag began."""


class CanvasBindings:
    """Binds keys and the right mouse button of a viewer; :meth:`release` gives all of them back.

    Only weak references to the panel are kept, so that the bindings do not keep it alive.
    """

    def __init__(
        self, viewer: napari.Viewer, panel: Dragged, actions: Mapping[str, Callable[[], None]]
    ) -> None:
        self._viewer = weakref.ref(getattr(viewer, "__wrapped__", viewer))
        for name, action in actions.items():
            viewer.bind_key(KEYS[name], _weak_action(action), overwrite=True)
        self._keys = [KEYS[name] for name in actions]
        self._drag = _right_drag(weakref.ref(panel))
        viewer.mouse_drag_callbacks.append(self._drag)

    def release(self) -> None:
        """Unbind."""
        viewer = self._viewer()
        if viewer is None:
            return
        for key in self._keys:
            viewer.bind_key(key, None, overwrite=True)
        if self._drag in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(self._drag)
        self._keys = []


def _weak_action(action: Callable[[], None]) -> Callable[[Any], None]:
    method: weakref.WeakMethod[Callable[[], None]] = weakref.WeakMethod(action)

    def run(viewer: Any) -> None:
        alive = method()
        if alive is not None:
            alive()

    return run


def _right_drag(panel: weakref.ref[Dragged]) -> Callable[[Any, Any], Iterator[None]]:
    def drag(viewer: Any, event: Any) -> Iterator[None]:
        target = panel()
        if (
            event.button != _RIGHT
            or viewer.dims.ndisplay != 2
            or target is None
            or not target.begin_window_drag()
        ):
            return
        event.handled = True  # else the camera zooms
        start = np.asarray(event.pos, float)
        with _layer_spared(viewer.layers.selection.active):
            yield
            while event.type == "mouse_move":
                right, down = np.asarray(event.pos, float) - start
                target.drag_window(float(right), float(down))
                event.handled = True
                yield

    return drag


@contextlib.contextmanager
def _layer_spared(layer: Any) -> Iterator[None]:
    """Keep the active layer from drawing meanwhile; napari hands it every press, handled or not."""
    callbacks = [] if layer is None else layer.mouse_drag_callbacks
    kept = list(callbacks)
    callbacks.clear()
    try:
        yield
    finally:
        callbacks[:] = kept
