"""Connections that end with the widget: napari and psygnal know nothing of Qt's deletions."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject


def follow(owner: QObject, emitter: Any, callback: Callable[..., Any]) -> None:
    """Connect a bound method of `owner` to an emitter of napari or psygnal until Qt deletes the owner.

    Without this, an event after the panel was closed would reach a Python object whose Qt half is gone.

    Parameters
    ----------
    owner : QObject
        Whose method `callback` is.
    emitter : napari or psygnal emitter
        Anything with ``connect`` and ``disconnect``.
    callback : bound method
    """
    emitter.connect(callback)
    method = weakref.WeakMethod(callback)

    def release(_: Any = None) -> None:
        alive = method()
        if alive is not None:
            emitter.disconnect(alive)

    owner.destroyed.connect(release)
