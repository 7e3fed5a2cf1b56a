"""A small named registry: one file a thing, one line to register it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from napari_sam_med.core.errors import InputError

T = TypeVar("T")


class Registry(Generic[T]):
    """Ordered mapping from a name to a thing, with a helpful error for unknown names.

    Parameters
    ----------
    kind : str
        What is registered, in the singular, as it should appear in messages ("metric", "strategy").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def add(self, name: str, item: T) -> T:
        """Register `item` under `name`; a name can be taken once.

        Raises
        ------
        ValueError
            If the name is taken already.
        """
        if name in self._items:
            raise ValueError(f"the {self.kind} {name!r} is registered already")
        self._items[name] = item
        return item

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of :meth:`add`."""
        return lambda item: self.add(name, item)

    def get(self, name: str) -> T:
        """Return the thing called `name`.

        Raises
        ------
        InputError
            If there is none; the message lists the known names.
        """
        try:
            return self._items[name]
        except KeyError:
            known = ", ".join(self._items)
            raise InputError(f"There is no {self.kind} called {name!r}; choose one of: {known}.") from None

    def names(self) -> tuple[str, ...]:
        """Registered names, in order of registration."""
        return tuple(self._items)

    def items(self) -> tuple[tuple[str, T], ...]:
        """Registered (name, thing) pairs, in order of registration."""
        return tuple(self._items.items())

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)
