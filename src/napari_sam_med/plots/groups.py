"""Rows of one table side by side, a colour for each group."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from napari_sam_med.plots.colors import SERIES, Colors


@dataclass(frozen=True, eq=False)
class Group:
    """Rows that are drawn alike.

    Attributes
    ----------
    name : str
        For the legend; "" where there is but one group.
    rows : DataFrame
    shift : float
        How far from the middle of the room that all groups share.
    color : str
    """

    name: str
    rows: pd.DataFrame
    shift: float
    color: str


def groups_of(table: pd.DataFrame, group: str | None, room: float, colors: Colors) -> list[Group]:
    """The groups of a table, beside each other in `room`, in the order of their first appearance.

    Parameters
    ----------
    table : DataFrame
    group : str, optional
        Column that tells them apart; without it all rows are one group in the plain colour.
    room : float
        In units of the axis.
    colors : Colors
    """
    if group is None:
        return [Group("", table, 0.0, colors.dots)]
    names = list(dict.fromkeys(table[group]))
    return [
        Group(
            str(name),
            table[table[group] == name],
            (k - (len(names) - 1) / 2) * room / len(names),
            SERIES[k % len(SERIES)],
        )
        for k, name in enumerate(names)
    ]
