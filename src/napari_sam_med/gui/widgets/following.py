"""Connections that end with the widget: napari and psygnal know nothing of Qt's deletions."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QObject


def follow(owner: QObject, emitter: Any, callback: Callable[[Any], object]) -> None:
    """Connect a bound method of `owner` to an emitter of napari or psygnal for as long as the owner lives.

    Plain connections would reach a Python object whose Qt half is gone after the panel was closed, and slots on
    ``destroyed`` may run while Python's garbage collector takes them apart.

    Parameters
    ----------
    owner : QObject
        Whose method `callback` is.
    emitter : napari or psygnal emitter
        Anything with ``connect``.
    callback : bound method of `owner`
        Called with the event.
    """
    method, where = weakref.WeakMethod(callback), weakref.ref(owner)

    def pass_on(event: Any = None) -> None:
        alive = method()
        if alive is not None and isalive(where()):
            alive(event)

    emitter.connect(pass_on)


class Stopper:
    """Calls `stop` when Qt deletes an object; the object must keep the stopper.

    Parameters
    ----------
    owner : QObject
        What may be deleted while its work goes on elsewhere.
    stop : callable
        Ends that work; must not touch the owner.
    """

    def __init__(self, owner: QObject, stop: Callable[[], object]) -> None:
        self._stop = stop
        # a bound method is held weakly by Qt's binding, so the garbage collector finds nothing half taken apart
        owner.destroyed.connect(self.stop)

    def stop(self, _: object = None) -> None:
        """Stop now."""
        self._stop()
