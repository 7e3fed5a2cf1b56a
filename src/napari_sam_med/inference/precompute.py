"""Encoding many slices in advance, the visible one first."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from napari_sam_med.core.volume import Volume, axis_number
from napari_sam_med.core.windowing import Window
from napari_sam_med.inference.session import Session
from napari_sam_med.inference.slices import slice_image


@dataclass(frozen=True)
class Progress:
    """One slice is done.

    Attributes
    ----------
    done, total : int
        Slices finished and asked for.
    index : int
        The slice that was finished.
    cached : bool
        Whether its embedding was there already.
    eta_seconds : float
        Time for the rest, from the mean time of the slices encoded so far; 0 while none was encoded.
    """

    done: int
    total: int
    index: int
    cached: bool
    eta_seconds: float


def outwards(start: int, n: int) -> list[int]:
    """Indices 0..n-1 from `start` outwards: start, start+1, start-1, start+2, ...

    A `start` outside is moved to the nearest end.
    """
    middle = min(max(start, 0), n - 1)
    return sorted(range(n), key=lambda i: (abs(i - middle), i < middle))


def precompute(
    session: Session,
    volume: Volume,
    axis: str | int,
    window: Window,
    start: int = 0,
    time_point: int = 0,
    indices: Iterable[int] | None = None,
) -> Iterator[Progress]:
    """Encode slices one by one, from `start` outwards; stop iterating to cancel.

    :meth:`Session.estimate` says beforehand how much room they will take.

    Parameters
    ----------
    session : Session
        The model and the cache.
    volume : Volume
        Image.
    axis : str or int
        Slices across this axis.
    window : Window
        The window in use; another one needs other embeddings.
    start : int
        The visible slice.
    time_point : int
        Time point of a 4D volume.
    indices : iterable of int, optional
        Slices, in the order of the work; all from `start` outwards when not given.

    Yields
    ------
    Progress
        After each slice.
    """
    number = axis_number(axis)
    order = outwards(start, volume.shape[number]) if indices is None else list(indices)
    spent, encoded = 0.0, 0
    for done, index in enumerate(order, start=1):
        began = time.perf_counter()
        _, cached = session.lookup(slice_image(volume, number, index, window, time_point))
        if not cached:
            spent += time.perf_counter() - began
            encoded += 1
        left = (len(order) - done) * spent / encoded if encoded else 0.0
        yield Progress(done, len(order), index, cached, left)
