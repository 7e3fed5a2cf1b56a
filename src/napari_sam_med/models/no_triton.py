"""A window and triton do not go together on some Linux machines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_triton() -> Iterator[None]:
    """While this lasts, ``import triton`` fails, if it is not imported already.

    torchvision and torch's optimisers make torch look for triton, whose LLVM ends the process (segmentation fault) when
    Mesa's LLVM is loaded already: in a napari window with software rendering or an AMD graphics card. Nothing here is
    compiled with triton, so torch is told that there is none; it asks only once.
    """
    blocked = "triton" not in sys.modules
    if blocked:
        sys.modules["triton"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if blocked:
            del sys.modules["triton"]
