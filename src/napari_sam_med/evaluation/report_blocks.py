"""What a report is made of, before it is HTML: sections of paragraphs, tables and pictures, and numbers as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

NOTHING = "–"
ONE_VOLUME = (
    "There is one volume. Its slices are not independent of each other, so no interval can be given for what would "
    "happen in other volumes."
)


@dataclass(frozen=True)
class Cell:
    """One cell of a table; `strong` where the eye should rest."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Group:
    """Rows of a table under a heading of their own; no heading if it is ""."""

    heading: str
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Paragraph:
    """A few sentences; `tone` is "", "note" (small) or "warning" (framed)."""

    text: str
    tone: str = ""
    kind: str = "paragraph"


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: list[str]
    kind: str = "bullets"


@dataclass(frozen=True)
class Definitions:
    """Terms and what they mean."""

    items: list[tuple[str, str]]
    kind: str = "definitions"


@dataclass(frozen=True)
class Links:
    """Sources, each with the address where it can be found."""

    items: list[tuple[str, str]]
    kind: str = "links"


@dataclass(frozen=True)
class Table:
    """A table with its caption.

    Attributes
    ----------
    number : int
    caption, note : str
        Above and below the table.
    columns : list of str
        Headings; the first `n_texts` columns are text, the others numbers.
    groups : list of Group
    n_texts : int
    file : str
        Name of the CSV file with the same in full precision; "" if there is none.
    """

    number: int
    caption: str
    columns: list[str]
    groups: list[Group]
    note: str = ""
    n_texts: int = 1
    file: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A figure with its caption; `uri` holds the picture itself, `alt` says what is in it."""

    number: int
    caption: str
    alt: str
    uri: str
    file: str = ""
    kind: str = "picture"


@dataclass(frozen=True)
class Gallery:
    """Small pictures side by side under one caption."""

    number: int
    caption: str
    pictures: list[Picture]
    kind: str = "gallery"


Block = Paragraph | Bullets | Definitions | Links | Table | Picture | Gallery


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading; `level` 2 is a chapter, 3 a part of one."""

    id: str
    title: str
    blocks: list[Block]
    level: int = 2


@dataclass
class Counter:
    """Numbers tables and figures in the order in which they are made."""

    tables: int = 0
    figures: int = 0

    def table(self) -> int:
        """The next table's number."""
        self.tables += 1
        return self.tables

    def figure(self) -> int:
        """The next figure's number."""
        self.figures += 1
        return self.figures


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes
    ----------
    title, subtitle, made : str
        `made` says when and by which version.
    warning : str
        What a reader must know first; "" if nothing.
    glance : list of str
        The main findings in sentences.
    sections : list of Section
    """

    title: str
    subtitle: str
    made: str
    warning: str
    glance: list[str]
    sections: list[Section] = field(default_factory=list)


def number(value: Any, digits: int = 3) -> str:
    """A number with so many decimals; a dash for NaN, the sign of infinity for infinite ones."""
    value = float(value)
    if np.isnan(value):
        return NOTHING
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    # + 0.0 makes a rounded -0 a 0
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def signed(value: Any, digits: int = 3) -> str:
    """The same with a plus before what is not negative."""
    text = number(value, digits)
    return text if text == NOTHING or text.startswith("−") else f"+{text}"


def interval(low: Any, high: Any, digits: int = 3, plus: bool = False) -> str:
    """Bounds of an interval; a dash if there is none."""
    if not (np.isfinite(float(low)) and np.isfinite(float(high))):
        return NOTHING
    show = signed if plus else number
    return f"{show(low, digits)} to {show(high, digits)}"


def excludes_zero(low: float, high: float) -> bool:
    """Whether an interval is known and lies on one side of zero."""
    return bool(np.isfinite(low) and np.isfinite(high) and (low > 0 or high < 0))


def count(n: int, what: str, plural: str = "") -> str:
    """A number of things in words: "1 volume", "2 volumes"."""
    return f"{n:,} {what if n == 1 else plural or what + 's'}"


def listing(words: Iterable[str], most: int = 12) -> str:
    """Words with commas and "and"; those beyond `most` are counted."""
    names = list(words)
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def cells(texts: Sequence[str | Cell]) -> list[Cell]:
    """Texts as cells."""
    return [text if isinstance(text, Cell) else Cell(text) for text in texts]
