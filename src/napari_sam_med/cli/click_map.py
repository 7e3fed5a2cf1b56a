"""``napari-sam-med click-map``: where on an object a click gives which Dice."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam_med.cli import console, options
from napari_sam_med.cli import scoring_options as scoring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_sam_med.evaluation.click_map import ClickMap
    from napari_sam_med.inference.session import Session
    from napari_sam_med.inference.slices import SliceImage

_AT_HELP = (
    "Slice, such as axial:14 (the numbers count as in segment). Where the object is largest by default."
)


def click_map(
    volume: Annotated[Path, typer.Argument(metavar="VOLUME", help="Image file or DICOM folder.")],
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="The truth: a label file on its grid.")],
    output: scoring.Output,
    label: Annotated[int, typer.Option("--label", metavar="N", min=1, help="Value of the object.")] = 1,
    at: Annotated[str, typer.Option("--at", metavar="AXIS:INDEX", help=_AT_HELP, show_default=False)] = "",
    step: Annotated[
        int | None,
        typer.Option("--step", metavar="PX", min=1, help="Between clicks.", show_default="about 250 clicks"),
    ] = None,
    model: scoring.Model = None,
    rules: scoring.Rules = "score,oracle",
    window: scoring.WindowName = None,
    resample: scoring.Resample = False,
    device: scoring.Device = "auto",
) -> None:
    """Click all over an object in one slice, one click at a time, and draw the Dice of each.

    Writes click_map_MODEL.csv (a row for every click), .png and .svg.
    """
    from napari_sam_med.core.folders import make_folder
    from napari_sam_med.core.volume import AXES
    from napari_sam_med.core.windowing import resolve_window
    from napari_sam_med.evaluation.baselines import BASELINES
    from napari_sam_med.evaluation.cases import read_case
    from napari_sam_med.evaluation.click_figures import largest_slice, save_click_map
    from napari_sam_med.evaluation.config import Case, shown_name
    from napari_sam_med.evaluation.labels import label_array, label_name
    from napari_sam_med.evaluation.rules import RULES
    from napari_sam_med.evaluation.work import Models
    from napari_sam_med.inference.slices import slice_image
    from napari_sam_med.io.sniff import stem_of

    if any(name in BASELINES for name in model or ()):
        raise typer.BadParameter("Baselines take boxes, no clicks; choose a model.", param_hint="--model")
    chosen = scoring.words(rules)
    options.as_usage("--rules", lambda: [RULES.get(rule) for rule in chosen])
    window_text = options.check_window(window)
    place = _place(at)
    image, truth = read_case(Case(stem_of(volume), volume, labels), resample)
    mask = label_array(truth) == label
    axis, index = place or (image.best_axis(), largest_slice(mask, image.best_axis()))
    pixels = slice_image(image, axis, index, resolve_window(window_text, image))
    target = mask.take(index, axis=axis)
    where = f"{label_name(truth, label)}, {AXES[axis]} {index}"
    models, folder = Models(device), make_folder(output)
    shown = []
    for name in model or ["builtin"]:
        found = _clicked(models(name), pixels, target, step, chosen)
        save_click_map(found, pixels, folder, f"click_map_{shown_name(name)}", f"{shown_name(name)}: {where}")
        shown += [[shown_name(name), *line] for line in _lines(found)]
    names = ["model", "rule", "clicks", "mean Dice", "best Dice", "at row,col"]
    console.table(names, shown, right=names[2:5])
    console.say(f"{where}. Saved in {folder}")


def _place(text: str) -> tuple[int, int] | None:
    from napari_sam_med.core.volume import axis_number

    if not text:
        return None
    axis, colon, index = text.partition(":")
    if not (colon and index.strip().isdigit()):
        raise typer.BadParameter(
            f"{text!r} is no slice; give AXIS:INDEX such as axial:14.", param_hint="--at"
        )
    return (options.as_usage("--at", lambda: axis_number(axis)), int(index))


def _clicked(
    session: Session,
    pixels: SliceImage,
    truth: NDArray[np.bool_],
    step: int | None,
    rules: list[str],
) -> ClickMap:
    """The complete map, with progress."""
    from napari_sam_med.cli.runs import follow
    from napari_sam_med.evaluation.click_map import iter_click_map
    from napari_sam_med.evaluation.engine import Planned, Written

    found: list[ClickMap] = []

    def steps() -> Generator[Planned | Written]:
        for message in iter_click_map(session, pixels, truth, step=step, rules=rules):
            if not found:
                yield Planned("clicks", message.total)
            yield Written(message.done - (found[-1].done if found else 0), "clicks")
            found[:] = [message]

    follow(steps())
    return found[-1]


def _lines(found: ClickMap) -> list[list[str]]:
    """Mean and best of each rule in words."""
    lines = []
    for rule, dices in found.dices.items():
        best = int(dices.argmax())
        row, col = (int(v) for v in found.points[best])
        lines.append([rule, str(found.total), f"{dices.mean():.3f}", f"{dices[best]:.3f}", f"{row},{col}"])
    return lines
