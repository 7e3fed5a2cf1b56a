"""What tells one run from another, so that rows of two never mix: settings, weights, and the files of the cases."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from napari_sam_med import __version__
from napari_sam_med.evaluation.baselines import BASELINES
from napari_sam_med.evaluation.config import Case, EvaluationConfig
from napari_sam_med.evaluation.table import columns
from napari_sam_med.models.catalog import CATALOG
from napari_sam_med.models.weights import expected_path, sha256_of


def settings_key(config: EvaluationConfig) -> str:
    """All that a row depends on but its own case; two runs with the same settings are one."""
    described = {**config.describe(), "cases": None}
    models = [_weights_stamp(model) for model in config.models]
    return json.dumps([__version__, columns(), described, models], sort_keys=True)


def case_stamp(case: Case) -> str:
    """Changes when the files of a case do, or what is made of them."""
    how = [case.modality, case.unite_labels, case.label_names, case.series, case.time]
    return json.dumps([_file_stamp(case.image), _file_stamp(case.labels), how])


def _weights_stamp(model: str) -> str:
    """Changes with the weights, and is known before a model is loaded."""
    if model in BASELINES:
        return BASELINES.get(model).fingerprint
    if model not in CATALOG:
        return _file_stamp(Path(model).expanduser())
    spec = CATALOG.get(model)
    if not spec.bundled:
        return spec.sha256
    try:
        return sha256_of(expected_path(spec))
    except OSError:
        return "missing"


def _file_stamp(path: Path) -> str:
    try:
        if path.is_dir():
            parts = sorted(f"{e.name}:{e.stat().st_size}:{e.stat().st_mtime_ns}" for e in os.scandir(path))
            return f"{len(parts)}:{hashlib.sha256('|'.join(parts).encode(errors='surrogateescape')).hexdigest()[:16]}"
        found = path.stat()
    except OSError:
        return "missing"
    return f"{found.st_size}:{found.st_mtime_ns}"
