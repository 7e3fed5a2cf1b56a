"""Pictures of the panels for the documentation, taken from the real window; no display is needed.

    python tools/panel_pictures.py docs/images [--scores results/scores.csv --case study/p14]

Writes evaluate.png, diagnostics.png and diagnostics-factors.png of the synthetic abdomen; with scores of the tutorial
(docs/evaluate.md) and a case of its study, evaluate-diagnostics.png too.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from skimage.io import imread, imsave
from skimage.transform import resize

from napari_sam_med.gui.xvfb import screen

WIDE = 900
"""Columns of the picture that stands in the tutorial."""


def abdomen(guide: Any) -> None:
    """Simulated prompts on the synthetic abdomen: the table, a worst slice, and which factors matter."""
    from napari_sam_med.gui.tour_steps import bring_to_front
    from napari_sam_med.gui.widgets.diagnostics_choosers import CORRELATIONS, FACTOR

    panels = guide.panels
    image, organs = guide.open_abdomen()
    guide.simulate(image, organs, 10, ("S2", "S3", "S5"), ("builtin", "otsu"))
    rows = panels.evaluate.results.frames()["Slices"]
    wanted = (rows["label_name"] == "liver lesion") & (rows["strategy"] == "S5") & (rows["rule"] == "score")
    panels.evaluate.results.table.choose_row(int(np.flatnonzero(wanted & (rows["model"] == "builtin"))[0]))
    guide.picture("evaluate")
    panel = panels.diagnostics
    bring_to_front(panel)
    choose(panel.choosers, strategy="S3", rule="score", model="builtin", kind=FACTOR, factor="solidity")
    guide.settle()
    guide.click_worst_dot()
    panel.overlay_bar.boundary.setChecked(True)
    guide.picture("diagnostics")
    panel.overlay_bar.boundary.setChecked(False)
    choose(panel.choosers, kind=CORRELATIONS)
    guide.settle(4.0)
    guide.picture("diagnostics-factors")
    panel.hide_overlay()


def tutorial(guide: Any, scores: Path, case: str) -> None:
    """Scores from a file: which factors matter, and the worst slice of one point of a case."""
    from napari_sam_med.gui.tour_steps import bring_to_front
    from napari_sam_med.gui.widgets.diagnostics_choosers import CORRELATIONS

    viewer, panel = guide.viewer, guide.panels.diagnostics
    viewer.layers.clear()
    for part in ("ct", "truth"):
        viewer.open(f"{case}_{part}.nii.gz", plugin="napari-sam-med")
    viewer.reset_view()
    bring_to_front(panel)
    panel.open_scores(scores)
    choose(panel.choosers, strategy="S2", rule="score", model="builtin", kind=CORRELATIONS)
    guide.settle(4.0)
    own = panel.shown[panel.shown["case"] == Path(case).name]
    panel.show_row(int(own["dice"].idxmin()))
    guide.wait(lambda: panel.overlay_bar.isVisible(), "the overlay")
    guide.settle(4.0)
    guide.picture("evaluate-diagnostics")
    path = guide.folder / "evaluate-diagnostics.png"
    picture = imread(path)[..., :3]
    rows = round(picture.shape[0] * WIDE / picture.shape[1])
    small = resize(picture, (rows, WIDE), order=1, anti_aliasing=True, preserve_range=True)
    imsave(path, np.rint(small).astype(np.uint8))


def choose(choosers: Any, **values: str) -> None:
    """Choose data of combo boxes by their names."""
    for name, value in values.items():
        combo = getattr(choosers, name)
        choosers.choose(combo, value)
        if combo.currentData() != value:
            raise SystemExit(f"{name} does not offer {value!r}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scores", type=Path, help="scores.csv of the tutorial")
    parser.add_argument("--case", help="a case of its study: the path up to _ct.nii.gz")
    options = parser.parse_args()
    with screen():
        from napari_sam_med.gui.state import workspace_for
        from napari_sam_med.gui.tour import open_demo
        from napari_sam_med.gui.tour_steps import Guide

        viewer, panels = open_demo()
        guide = Guide(viewer, panels, options.folder)
        try:
            guide.wait(lambda: workspace_for(viewer).model is not None, "the model", 120)
            abdomen(guide)
            if options.scores and options.case:
                tutorial(guide, options.scores, options.case)
        finally:
            workspace_for(viewer).close(5.0)
            viewer.close()


if __name__ == "__main__":
    main()
