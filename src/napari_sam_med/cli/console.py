"""Where the commands write: results to stdout, all else to stderr."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

_REDIRECTED_WIDTH = 200


def tolerate_narrow_encodings() -> None:
    """A console that cannot show a letter (Windows code pages) gets a question mark instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def out() -> Console:
    """Console on stdout; lines are not wrapped when it is redirected."""
    return Console(
        highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _REDIRECTED_WIDTH
    )


def err() -> Console:
    """Console on stderr, for progress, warnings and errors."""
    return Console(
        stderr=True,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if sys.stderr.isatty() else _REDIRECTED_WIDTH,
    )


def say(text: str) -> None:
    """Print one line of the result."""
    out().print(text, soft_wrap=True)


def warn(text: str) -> None:
    """Print one line that the user should know but that is not the result."""
    err().print(f"Warning: {text}", style="yellow", soft_wrap=True)


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns."""
    pairs = list(rows)
    width = max(len(name) for name, _ in pairs) + 2
    for name, value in pairs:
        say(f"{name:<{width}}{value}")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print a table; the columns named in `right` are aligned to the right."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left")
    for row in rows:
        grid.add_row(*row)
    out().print(grid)


def size_text(n_bytes: float) -> str:
    """Bytes in words ("1.5 GiB")."""
    if n_bytes < 1024:
        return f"{n_bytes:.0f} B"
    power = min(int(math.log(n_bytes, 1024)), 4)
    return f"{n_bytes / 1024**power:.1f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
