"""Save label volumes on the exact grid of the file their image came from."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError, OutputError
from napari_sam_med.core.geometry import from_canonical
from napari_sam_med.core.volume import Volume
from napari_sam_med.io import checks, sniff
from napari_sam_med.io.verify import verify_saved


def save_labels(labels: Volume, path: str | os.PathLike[str]) -> Path:
    """Write a label volume, read it back, compare it, and only then give it its name.

    The voxels go back through ``labels.source`` to the order of the source file, with its shape and affine, in the
    smallest integer type that holds the values. Label names are kept: in NIfTI as the header extension of Connectome
    Workbench and TotalSegmentator, in NRRD and MetaImage as 3D Slicer's segment keys.

    Parameters
    ----------
    labels : Volume
        Integer or boolean voxels; 4D labels can be written as NIfTI only.
    path : path
        Ends with one of ``WRITE_SUFFIXES``. An existing file is replaced only by a complete and verified one.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    OutputError
        If the file cannot be written, or what was read back differs. Nothing is left behind and an existing file stays.
    """
    target = Path(path).expanduser()
    suffix = _check_target(target, labels)
    dtype = _label_type(labels)
    voxels = from_canonical(labels.data, labels.source).astype(dtype)
    try:
        # inside its own folder beside the target, a file can have its final name before it counts
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=target.parent) as folder:
            draft = Path(folder) / target.name
            _write(draft, suffix, voxels, labels)
            verify_saved(draft, voxels, labels.source.affine)
            _publish(Path(folder), target)
    except (OSError, RuntimeError, InputError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error).strip().splitlines()[
            -1
        ]
        raise OutputError(
            f"The labels could not be saved as {target.name} in {target.parent}: {reason}. Check that the folder can "
            "be written and the disk is not full, or choose another place; nothing was changed."
        ) from error
    return target


def _check_target(target: Path, labels: Volume) -> str:
    suffix = sniff.suffix_of(target)
    if suffix not in WRITE_FORMATS:
        raise OutputError(
            f"Labels cannot be saved as {target.name}; choose a name that ends with {', '.join(sniff.WRITE_SUFFIXES)}."
        )
    if not target.parent.is_dir():
        raise OutputError(f"The folder {target.parent} does not exist; make it first or choose another.")
    if target.is_dir():
        raise OutputError(f"{target.name} is a folder; choose a file name.")
    if target.exists() and not target.stat().st_mode & 0o222:
        raise OutputError(f"{target.name} is read-only; choose another name, or allow writing to it.")
    if labels.data.ndim == 4 and not suffix.startswith(".nii"):
        raise OutputError(
            f"4D labels can be saved as NIfTI only; choose a name that ends with .nii.gz, not {suffix}."
        )
    return suffix


def _label_type(labels: Volume) -> np.dtype[Any]:
    if labels.data.dtype.kind == "b":
        return np.dtype(np.uint8)
    if labels.data.dtype.kind not in "iu":
        raise OutputError(
            f"Labels must be whole numbers to be saved; found voxels of the type {labels.data.dtype}."
        )
    low, high = (int(labels.data.min()), int(labels.data.max())) if labels.data.size else (0, 0)
    dtype = checks.smallest_integer(low, high)
    if dtype is None:
        raise OutputError(f"The label values {low} to {high} do not fit one integer type; renumber them.")
    return dtype


def _write(path: Path, suffix: str, voxels: NDArray[Any], labels: Volume) -> None:
    flat = labels.metadata.get("source_ndim") == 2 and voxels.shape[-1] == 1 and voxels.ndim == 3
    WRITE_FORMATS[suffix](path, voxels, labels, flat)


def _write_nifti(path: Path, voxels: NDArray[Any], labels: Volume, flat: bool) -> None:
    import nibabel

    from napari_sam_med.io.nifti import label_extension

    stored = np.moveaxis(voxels, 0, -1) if voxels.ndim == 4 else voxels
    stored = stored[..., 0] if flat else stored
    affine = labels.source.affine
    kind = nibabel.Nifti2Image if max(stored.shape) > 32767 else nibabel.Nifti1Image
    image = kind(stored, affine, dtype=voxels.dtype)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=0 if checks.shear_warning(affine) else 1)
    if stored.ndim == 4:
        image.header["pixdim"][4] = labels.time_step
    if labels.label_names:
        image.header.extensions.append(
            nibabel.nifti1.Nifti1Extension("caret", label_extension(dict(labels.label_names)))
        )
    image.to_filename(path)


def _write_itk(path: Path, voxels: NDArray[Any], labels: Volume, flat: bool) -> None:
    import SimpleITK as sitk

    from napari_sam_med.io.nrrd import segment_keys

    n_dims = 2 if flat else 3
    stored = voxels[..., 0] if flat else voxels
    image = sitk.GetImageFromArray(np.ascontiguousarray(stored.T))
    lps = checks.LPS_TO_RAS @ labels.source.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)[:n_dims]
    image.SetSpacing([float(s) for s in spacing])
    image.SetOrigin([float(v) for v in lps[:n_dims, 3]])
    image.SetDirection([float(v) for v in (lps[:n_dims, :n_dims] / spacing).ravel()])
    for key, value in segment_keys(labels.label_names).items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), useCompression=True)


WRITE_FORMATS = {
    ".nii": _write_nifti,
    ".nii.gz": _write_nifti,
    ".nrrd": _write_itk,
    ".mha": _write_itk,
    ".mhd": _write_itk,
}


def _publish(folder: Path, target: Path) -> None:
    """Move what was verified to its place: a data file before the header that names it, or neither."""
    drafts = sorted((p for p in folder.iterdir()), key=lambda p: p.name == target.name)
    if len(drafts) == 1:
        os.replace(drafts[0], target)
        return
    undo: list[tuple[Path, Path | None]] = []
    try:
        for draft in drafts:
            place = target.parent / draft.name
            kept = folder / f"kept-{draft.name}" if place.exists() else None
            if kept is not None:
                os.replace(place, kept)
            undo.append((place, kept))
            os.replace(draft, place)
    except OSError:
        for place, kept in reversed(undo):
            if kept is None:
                place.unlink(missing_ok=True)
            else:
                os.replace(kept, place)
        raise
