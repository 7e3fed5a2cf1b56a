"""Real images to start with: the ICBM152 brain from nilearn's wheel (offline) and public cases addressed by SHA-256."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.core.volume import Volume

_ICBM_FILE = "mni_icbm152_{part}_tal_nlin_sym_09a_converted.nii.gz"
_ICBM_SOURCE = (
    "ICBM152 nonlinear symmetric 2009a, 1 mm (Fonov et al. 2011), copyright 1993-2009 Louis Collins, "
    "McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill University"
)
_SLICER_STORE = "https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/"


@dataclass(frozen=True)
class PublicCase:
    """A public image whose bytes are known.

    Attributes
    ----------
    title : str
        What it shows.
    file_name : str
        Name to keep it under; its suffix says the format.
    sha256 : str
        Hash of the file, part of its address.
    modality : str
        "CT" or "MR".
    """

    title: str
    file_name: str
    sha256: str
    modality: str

    @property
    def url(self) -> str:
        """Where the file is."""
        return _SLICER_STORE + self.sha256


PUBLIC_CASES: dict[str, PublicCase] = {
    "mr-head": PublicCase(
        "MR head (3D Slicer testing data)",
        "MRHead.nrrd",
        "cc211f0dfd9a05ca3841ce1141b292898b2dd2d3f08286affadf823a7e58df93",
        "MR",
    ),
    "ct-chest": PublicCase(
        "CT chest (3D Slicer testing data)",
        "CTChest.nrrd",
        "4507b664690840abb6cb9af2d919377ffc4ef75b167cb6fd0f747befdb12e38e",
        "CT",
    ),
}


def brain_sample() -> tuple[Volume, Volume]:
    """The ICBM152 T1 brain (skull-stripped) at 1 mm and its tissues: 1 grey matter, 2 white matter.

    A voxel belongs to the tissue with the larger probability if that is above one half.

    Returns
    -------
    image, labels : Volume
        uint8, shape (189, 233, 197), spacing 1 mm, the same grid.

    Raises
    ------
    InputError
        If nilearn, whose wheel holds the files, is not installed.
    """
    image, affine = _icbm("t1")
    grey, white = _icbm("gm")[0], _icbm("wm")[0]
    half = 255 / 2
    labels = np.zeros(grey.shape, np.uint8)
    labels[(grey > half) & (grey >= white)] = 1
    labels[(white > half) & (white > grey)] = 2
    facts = {"source": _ICBM_SOURCE}
    names = {1: "grey matter", 2: "white matter"}
    return (
        volume_from_source(image, affine, name="ICBM152 T1", modality="MR", metadata=facts),
        volume_from_source(labels, affine, name="ICBM152 tissues", label_names=names, metadata=facts),
    )


def brain_mask_sample() -> Volume:
    """The brain mask of the ICBM152 template, label 1.

    nilearn's copy of the template has air, skull and skin set to zero, so the brain is what is left.

    Returns
    -------
    Volume
        uint8, on the grid of :func:`brain_sample`.

    Raises
    ------
    InputError
        If nilearn is not installed.
    """
    image, affine = _icbm("t1")
    return volume_from_source(
        (image > 0).astype(np.uint8),
        affine,
        name="ICBM152 brain",
        label_names={1: "brain"},
        metadata={"source": _ICBM_SOURCE},
    )


def public_sample(name: str, folder: Path | None = None) -> Volume:
    """A public case, downloaded once and checked against its SHA-256.

    Parameters
    ----------
    name : str
        A key of :data:`PUBLIC_CASES`.
    folder : Path, optional
        Where to keep the file; default: the user's cache folder.

    Raises
    ------
    InputError
        If the name is unknown, there is no network, or the file is not the expected one.
    """
    case = PUBLIC_CASES.get(name)
    if case is None:
        raise InputError(f"There is no public case {name!r}; choose one of: {', '.join(PUBLIC_CASES)}.")
    path = _download(case, folder)
    from napari_sam_med.io import read_volume

    return read_volume(path)


def _download(case: PublicCase, folder: Path | None) -> Path:
    import platformdirs
    import pooch

    target = folder or Path(platformdirs.user_cache_dir("napari-sam-med", False)) / "samples"
    try:
        return Path(
            pooch.retrieve(
                case.url, f"sha256:{case.sha256}", fname=case.file_name, path=target, progressbar=False
            )
        )
    except ValueError:
        raise InputError(
            f"The download of {case.file_name} is not the expected file (its SHA-256 differs); try again later."
        ) from None
    except OSError as error:  # requests' errors are OSErrors, as are a full disk and a read-only folder
        raise InputError(
            f"{case.file_name} could not be downloaded from github.com ({type(error).__name__}); check the network "
            "connection, or use the brain and abdomen samples, which need none."
        ) from None


def _icbm(part: str) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    import nibabel

    image: Any = nibabel.load(_nilearn_folder() / _ICBM_FILE.format(part=part))
    return np.asanyarray(image.dataobj), np.asarray(image.affine, float)


def _nilearn_folder() -> Path:
    # only the files are needed: importing nilearn takes seconds
    found = importlib.util.find_spec("nilearn")
    places = list(found.submodule_search_locations or []) if found is not None else []
    for place in places:
        folder = Path(place) / "datasets" / "data"
        if (folder / _ICBM_FILE.format(part="t1")).is_file():
            return folder
    raise InputError(
        "The brain sample comes with nilearn, which is not installed; "
        'install it with: pip install "napari-sam-med[samples]"'
    )
