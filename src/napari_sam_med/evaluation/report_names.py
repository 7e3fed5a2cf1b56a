"""What a case is called in a report, so that no patient's name and no folder of a person's disk gets into it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from napari_sam_med.core.errors import InputError
from napari_sam_med.io.sniff import stem_of

NAMINGS = ("auto", "keep", "number")
"""How cases are named: "number" calls them "case 1", "case 2", ...; "keep" keeps their ids, without folders; "auto"
keeps ids that someone chose (a manifest's, nnU-Net's) and numbers those that are the name of a file or a folder,
because such names are often patients'."""

_FOLDERS = re.compile(r"(?:[A-Za-z]:)?[\\/](?:[^\s\\/:;,\"'<>|]+[\\/])+|~[\\/]")


def case_names(ids: Iterable[str], config: Mapping[str, Any], naming: str = "auto") -> dict[str, str]:
    """Names of cases in a report, by their ids; no two are alike.

    Parameters
    ----------
    ids : iterable of str
        As in the table of scores, in order.
    config : mapping
        ``EvaluationConfig.describe()``, or part of it. Cases that it does not tell the origin of are numbered.
    naming : str
        Of ``NAMINGS``.

    Raises
    ------
    InputError
        If the naming is unknown.
    """
    check_naming(naming)
    files = {str(case.get("id")): str(case.get("image", "")) for case in config.get("cases") or ()}
    names: dict[str, str] = {}
    taken: set[str] = set()
    for position, case in enumerate(dict.fromkeys(ids), start=1):
        name = f"case {position}" if naming != "keep" else _last_part(case)
        if naming == "auto" and _chosen(case, files):
            name = _last_part(case)
        base, again = name, 2
        while name in taken:
            name, again = f"{base} ({again})", again + 1
        taken.add(name)
        names[case] = name
    return names


def check_naming(naming: str) -> None:
    """Refuse an unknown way of naming cases.

    Raises
    ------
    InputError
    """
    if naming not in NAMINGS:
        raise InputError(f"There is no naming {naming!r} of cases; choose one of: {', '.join(NAMINGS)}.")


def scrub(text: str, config: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """A sentence without folders, and without file names and ids of cases that are called otherwise."""
    replacements = {case: name for case, name in names.items() if case and case != name}
    for case in config.get("cases") or ():
        if names.get(str(case.get("id"))) != case.get("id"):
            for what in ("image", "labels"):
                replacements.setdefault(str(case.get(what) or ""), f"(its {what})")
    text = _FOLDERS.sub("", text)
    words = sorted(filter(None, replacements), key=len, reverse=True)
    if not words:
        return text
    pattern = "|".join(re.escape(word) for word in words)
    return re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", lambda found: replacements[found[0]], text)


def _chosen(case: str, files: Mapping[str, str]) -> bool:
    """Whether an id is none that a file or a folder lent it."""
    if case not in files:
        return False
    image = files[case]
    borrowed = {image, stem_of(Path(image)), Path(image).stem}
    return _last_part(case) not in borrowed and case not in borrowed


def _last_part(case: str) -> str:
    return PurePosixPath(PureWindowsPath(case).as_posix()).name or "case"
