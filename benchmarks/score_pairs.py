"""Score models and baselines on a list of images with truth, and print the result as Markdown.

    python benchmarks/score_pairs.py PAIRS.csv -o runs/pairs [--split dev] [--model builtin] [--pictures DIR]
    python benchmarks/score_pairs.py PAIRS.csv -o runs/all --split dev,train --strategies all --grid 16

PAIRS.csv has the columns id, split, what, image, label and use; paths are relative to its folder. Every row is one
pair. Pairs whose `use` says "use union" have their labels united, and the crops called hippo_* count as one pair.
``--pictures`` adds a folder laid out like SAM-Med2D's demo data (images/, masks/, label2image_test.json).
A run that was stopped goes on where it was with the same command.

Dice is averaged over the slices of an object, the objects of a pair, then the pairs; the interval is a bootstrap over
pairs. For Otsu's threshold the ``oracle`` rows are the upper bound: the side that fits the truth better.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from pathlib import Path

import pandas as pd

from napari_sam_med.cli.evaluate_run import Workers, run_evaluation
from napari_sam_med.core.errors import SamMedError
from napari_sam_med.evaluation.baselines import BASELINES
from napari_sam_med.evaluation.config import Case, EvaluationConfig
from napari_sam_med.evaluation.statistics import bootstrap_mean
from napari_sam_med.inference.everything import EverythingSettings
from napari_sam_med.prompts import STRATEGIES

ONE_PAIR = {"hippo_": "hippocampi"}
MODALITIES = {"CT": "CT", "MR": "MR", "PET": "PT"}


def read_pairs(path: Path, splits: list[str]) -> list[Case]:
    """Cases of the rows of some splits."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in splits]
    return [
        Case(
            id=row["id"],
            image=path.parent / row["image"],
            labels=path.parent / row["label"],
            modality=MODALITIES.get(re.split(r"[^A-Z]", row["what"])[0], ""),
            unite_labels="use union" in row["use"],
        )
        for row in rows
    ]


def read_pictures(folder: Path) -> list[Case]:
    """Cases of a folder of 2D images with one mask file an object; an image is a pair."""
    listed = json.loads((folder / "label2image_test.json").read_text(encoding="utf-8"))
    masks = {Path(mask).name: Path(image).name for mask, image in listed.items()}
    for mask in sorted(path.name for path in (folder / "masks").iterdir()):
        # masks that are not listed carry the name of their image in front
        image = next((p.name for p in (folder / "images").iterdir() if mask.startswith(f"{p.stem}_")), None)
        if image is not None:
            masks.setdefault(mask, image)
    return [
        Case(
            f"{Path(image).stem}/{Path(mask).stem}",
            folder / "images" / image,
            folder / "masks" / mask,
            "",
            True,
        )
        for mask, image in sorted(masks.items())
    ]


def pair_of(case: str) -> str:
    """The pair a case belongs to."""
    for start, name in ONE_PAIR.items():
        if case.startswith(start):
            return name
    return case.split("/")[0]


def pair_means(scores: pd.DataFrame, metric: str = "dice") -> pd.DataFrame:
    """Mean of every pair (rows) for every model, strategy and rule (columns): over slices, then objects."""
    scored = scores[scores["error"] == ""].assign(pair=lambda table: table["case"].map(pair_of))
    how = ["model", "strategy", "rule"]
    by_object = scored.groupby([*how, "pair", "case", "label"], sort=False)[metric].mean()
    return by_object.groupby([*how, "pair"], sort=False).mean().unstack(how)


def strategies_of(text: str) -> tuple[str, ...]:
    """Strategies named with commas; "all" for every one there is."""
    return STRATEGIES.names() if text == "all" else tuple(text.split(","))


def markdown(scores: pd.DataFrame) -> str:
    """Three tables: the means over pairs, the rows of each strategy, and the Dice of each pair with a box."""
    means = pair_means(scores)
    lines = ["| model | strategy | rule | Dice | 95 % interval | pairs | objects | slices | errors |"]
    lines.append("|---|---|---|---:|---|---:|---:|---:|---:|")
    for model, strategy, rule in means.columns.tolist():
        if model in BASELINES and rule == "oracle" and model != "otsu":
            continue  # one candidate: the rules agree
        rows = scores[
            (scores["model"] == model) & (scores["strategy"] == strategy) & (scores["rule"] == rule)
        ]
        n_objects = len(rows[["case", "label"]].drop_duplicates())
        values = means[model, strategy, rule]
        low, high = bootstrap_mean(values)
        cells = [model, strategy, rule, f"{values.mean():.3f}", f"{low:.3f}-{high:.3f}", values.count()]
        cells += [n_objects, len(rows), int((rows["error"] != "").sum())]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    lines += ["", *_by_strategy(scores), ""]
    if "S5" in means.columns.get_level_values("strategy"):
        lines += [*_by_pair(means), ""]
    failed = scores[(scores["error"] != "") & (scores["model"] == "")]
    lines += [f"- {case}: {error}" for case, error in zip(failed["case"], failed["error"], strict=True)]
    return "\n".join(lines).rstrip() + "\n"


def _by_strategy(scores: pd.DataFrame) -> list[str]:
    """Rows of each strategy, all models and rules together, and how many of them failed."""
    lines = ["| strategy | rows | errors |", "|---|---:|---:|"]
    for strategy, rows in scores[scores["strategy"] != ""].groupby("strategy", sort=False):
        lines.append(f"| {strategy} | {len(rows)} | {int((rows['error'] != '').sum())} |")
    return lines


def _by_pair(means: pd.DataFrame) -> list[str]:
    """Dice with a box, pair by pair; of the models by their own score, of Otsu the better side."""
    chosen = [
        (model, strategy, rule)
        for model, strategy, rule in means.columns.tolist()
        if strategy == "S5" and rule == ("oracle" if model == "otsu" else "score")
    ]
    lines = ["| pair (S5) | " + " | ".join(f"{model} ({rule})" for model, _, rule in chosen) + " |"]
    lines.append("|---|" + "---:|" * len(chosen))
    for pair, values in means[chosen].iterrows():
        lines.append(f"| {pair} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    return lines


def main() -> int:
    """Run the benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pairs", type=Path, help="CSV file of pairs")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for scores, figures and table.md"
    )
    parser.add_argument("--split", default="dev", help="splits of the list, with commas (default: dev)")
    parser.add_argument(
        "--model", action="append", help="model or baseline, repeat (default: builtin ellipse otsu)"
    )
    parser.add_argument(
        "--strategies", "--strategy", default="S2,S5", help='prompt strategies, with commas, or "all"'
    )
    parser.add_argument("--grid", type=int, default=32, help="S1: points a side of its grid (default: 32)")
    parser.add_argument("--pictures", type=Path, help="folder of 2D images with masks, scored as well")
    parser.add_argument("--max-slices", type=int, help="at most so many slices a pair")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    cases = read_pairs(options.pairs, options.split.split(","))
    if options.pictures:
        cases += read_pictures(options.pictures)
    try:
        config = EvaluationConfig(
            models=tuple(options.model or ["builtin", "ellipse", "otsu"]),
            strategies=strategies_of(options.strategies),
            cases=tuple(cases),
            max_slices=options.max_slices,
            everything=EverythingSettings(points_per_side=options.grid),
        )
        scores = run_evaluation(config, options.output, Workers(options.device))
    except SamMedError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    text = markdown(scores)
    (options.output / "table.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
