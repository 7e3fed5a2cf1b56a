"""``napari-sam-med segment``: boxes and points in, a mask on the grid of the source out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from napari_sam_med.cli import console, options
from napari_sam_med.cli.info import SERIES_HELP
from napari_sam_med.cli.prompts import (
    BOX_FORM,
    MAX_LABEL,
    POINT_FORM,
    SlicePrompt,
    collect,
    read_prompts,
)

if TYPE_CHECKING:
    from napari_sam_med.core.volume import Volume
    from napari_sam_med.core.windowing import Window
    from napari_sam_med.inference.session import Session

_BOX_HELP = f"A box {BOX_FORM}, corners inclusive, for example axial:14:60,40,88,75. Repeat for more objects."
_POINT_HELP = f"A point {POINT_FORM}; :- marks one outside the object. Points of one slice belong together."


@dataclass(frozen=True, eq=False)
class Answer:
    """The model's best candidate for one prompt.

    Attributes
    ----------
    item : SlicePrompt
        What was asked.
    mask : ndarray, shape (rows, cols), bool
        On the voxels of the slice.
    score : float
        IoU as the model predicts it.
    """

    item: SlicePrompt
    mask: NDArray[np.bool_]
    score: float


def answers(
    volume: Volume, items: Sequence[SlicePrompt], session: Session, window: Window, time: int = 0
) -> Iterator[Answer]:
    """Segment one prompt after another with the candidate of the highest score.

    Parameters
    ----------
    volume : Volume
        Image, 3D or 4D.
    items : sequence of SlicePrompt
        Checked against the volume before the first one is segmented.
    session : Session
        Model and cache.
    window : Window
        Grey window of the model's input.
    time : int
        Time point of a 4D volume.

    Raises
    ------
    InputError
        If a slice or a prompt lies outside the volume.
    """
    from napari_sam_med.inference.slices import slice_image

    for item in items:
        item.check_inside(volume)
    for item in items:
        image = slice_image(volume, item.axis, item.index, window, time)
        found = session.predict(image, item.prompt)
        yield Answer(item, found.masks[found.best], float(found.scores[found.best]))


def segment(
    volume: Annotated[
        Path, typer.Argument(metavar="VOLUME", help="Image file or DICOM folder.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Mask to write: .nii.gz, .nrrd, .mha, ...",
            show_default=False,
        ),
    ],
    box: Annotated[list[str] | None, typer.Option("--box", metavar="BOX", help=_BOX_HELP)] = None,
    point: Annotated[list[str] | None, typer.Option("--point", metavar="POINT", help=_POINT_HELP)] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", metavar="FILE", help="JSON file with prompts.")
    ] = None,
    label: Annotated[
        int,
        typer.Option("--label", metavar="N", min=1, max=MAX_LABEL, help="Value of the object in the mask."),
    ] = 1,
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="NAME|FILE", help="Name (the command models lists them) or checkpoint file."
        ),
    ] = "builtin",
    window: Annotated[
        str | None, typer.Option("--window", metavar="WINDOW", help=options.WINDOW_HELP)
    ] = None,
    series: Annotated[str | None, typer.Option("--series", metavar="SERIES", help=SERIES_HELP)] = None,
    time: Annotated[
        int, typer.Option("--time", metavar="T", min=0, help="Time point of a 4D volume, from 0.")
    ] = 0,
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda or mps.")
    ] = "auto",
) -> None:
    """Segment slices of a volume from boxes and points and write the mask on the volume's own grid.

    Rows and columns are voxels of the slice as napari shows it: axial slices are (front to back, patient's right to
    left), coronal ones (head to feet, right to left), sagittal ones (head to feet, front to back), all from 0.
    Slices count from the head (axial), the front (coronal) and the patient's right (sagittal).
    """
    items = _items(box or [], point or [], prompts, label)
    window_text = options.check_window(window)
    options.check_output(output, volume)

    from napari_sam_med.core.windowing import resolve_window
    from napari_sam_med.io import read_volume, save_labels

    image = read_volume(volume, series=series)
    image.frame(time)
    grey = resolve_window(window_text, image)
    for sentence in image.metadata.get("warnings", ()):
        console.warn(sentence)
    for item in items:  # before the model is loaded
        item.check_inside(image)
        if sentence := item.cut(image):
            console.warn(sentence)

    mask = np.zeros(image.shape, np.uint8 if max(i.label for i in items) < 256 else np.uint16)
    for answer in answers(image, items, _open_session(model, device), grey, time):
        target = np.moveaxis(mask, answer.item.axis, 0)[answer.item.index]
        target[answer.mask] = answer.item.label
        console.say(
            f"{answer.item.where}, label {answer.item.label}: {np.count_nonzero(answer.mask)} voxels "
            f"(predicted IoU {answer.score:.2f})"
        )
    saved = save_labels(image.with_data(mask, name=output.name, modality=""), output)
    _report(mask, items, image.voxel_ml, saved)


def _items(boxes: list[str], points: list[str], file: Path | None, label: int) -> list[SlicePrompt]:
    if file is not None and (boxes or points):
        raise typer.BadParameter("Give either --prompts or --box and --point.", param_hint="--prompts")
    if file is not None:
        return read_prompts(file, label)
    items = options.as_usage("--box, --point", lambda: collect(boxes, points, label))
    if not items:
        raise typer.BadParameter("Give at least one --box, --point or --prompts.", param_hint="--box")
    return items


def _open_session(model: str, device: str) -> Session:
    from napari_sam_med.embeddings import EmbeddingCache
    from napari_sam_med.inference.session import Session
    from napari_sam_med.models import load_model

    with console.err().status(f"Loading {model} ..."):
        return Session(load_model(model, device), EmbeddingCache.default())


def _report(mask: NDArray[Any], items: Sequence[SlicePrompt], voxel_ml: float, saved: Path) -> None:
    console.say(f"Saved {saved}")
    for value in sorted({item.label for item in items}):
        voxels = int(np.count_nonzero(mask == value))
        console.say(f"label {value}: {voxels} voxels, {voxels * voxel_ml:.3f} ml")
        if voxels == 0:
            console.warn(
                f"Label {value} is empty: the model found nothing there; move the prompt or the window."
            )
