"""The methods of a report, written from what the run says of itself, and all it takes to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_sam_med import __version__
from napari_sam_med.evaluation.baselines import BASELINES
from napari_sam_med.evaluation.figures import metric_label
from napari_sam_med.evaluation.report_blocks import (
    Block,
    Definitions,
    Group,
    Links,
    Paragraph,
    Section,
    cells,
    count,
    listing,
)
from napari_sam_med.evaluation.report_load import ReportData
from napari_sam_med.evaluation.report_maker import Maker
from napari_sam_med.evaluation.report_tables import N_FACTOR_SAMPLES
from napari_sam_med.evaluation.rules import RULES
from napari_sam_med.evaluation.statistics_clusters import LEVEL, N_SAMPLES
from napari_sam_med.metrics import METRICS
from napari_sam_med.prompts import STRATEGIES

SOURCES = {
    "gudbjartsson": (
        "Gudbjartsson H, Patz S. The Rician distribution of noisy MRI data. Magnetic Resonance in Medicine "
        "1995;34:910-914.",
        "https://doi.org/10.1002/mrm.1910340618",
    ),
    "huang": (
        "Huang Y, et al. Segment anything model for medical images? Medical Image Analysis 2024;92:103061.",
        "https://doi.org/10.1016/j.media.2023.103061",
    ),
    "kirillov": (
        "Kirillov A, et al. Segment anything. arXiv 2304.02643, 2023.",
        "https://arxiv.org/abs/2304.02643",
    ),
    "mazurowski": (
        "Mazurowski MA, et al. Segment anything model for medical image analysis: an experimental study. Medical Image "
        "Analysis 2023;89:102918.",
        "https://doi.org/10.1016/j.media.2023.102918",
    ),
    "nikolov": (
        "Nikolov S, et al. Clinically applicable segmentation of head and neck anatomy for radiotherapy. Journal of "
        "Medical Internet Research 2021;23:e26151 (surface Dice).",
        "https://doi.org/10.2196/26151",
    ),
    "kuhl": (
        "Kuhl FP, Giardina CR. Elliptic Fourier features of a closed contour. Computer Graphics and Image Processing "
        "1982;18:236-258.",
        "https://doi.org/10.1016/0146-664X(82)90034-X",
    ),
    "efron": (
        "Efron B. Bootstrap methods: another look at the jackknife. Annals of Statistics 1979;7:1-26.",
        "https://doi.org/10.1214/aos/1176344552",
    ),
    "field": (
        "Field CA, Welsh AH. Bootstrapping clustered data. Journal of the Royal Statistical Society B 2007;69:369-390.",
        "https://doi.org/10.1111/j.1467-9868.2007.00593.x",
    ),
}
_RULE_TEXTS = {
    "oracle": "the candidate with the best Dice against the truth (Huang et al. 2024), which no user could choose: an "
    "upper bound",
    "score": "the candidate with the highest predicted IoU: what a user gets",
    "largest": "the candidate with the most pixels",
    "first": "the model's first candidate",
}


def methods_section(data: ReportData) -> Section:
    """How slices, prompts, answers and numbers were made."""
    config = data.config
    blocks: list[Block] = []
    if config:
        blocks += [Paragraph(_slices(config, data)), Paragraph(_prompts(config, data))]
    else:
        blocks.append(
            Paragraph("The settings of the run are not known: the folder has neither run.json nor a journal.")
        )
    known = [name for name in data.strategies if name in STRATEGIES]
    blocks.append(
        Definitions(
            [(f"{name}, {STRATEGIES.get(name).title}", STRATEGIES.get(name).meaning) for name in known]
        )
    )
    rules = [f"{rule}, {_RULE_TEXTS[rule]}" for rule in data.rules if rule in _RULE_TEXTS and rule in RULES]
    blocks += [
        Paragraph(f"Where a model gives several candidates, one counts. Rules: {'; '.join(rules)}."),
        Paragraph(_metrics(config)),
        Paragraph(_statistics()),
    ]
    if data.lab is not None:
        blocks.append(Paragraph(_lab(data)))
    return Section("methods", "Methods", blocks)


def _slices(config: Mapping[str, Any], data: ReportData) -> str:
    axes = list(config.get("axes") or [])
    plane = (
        f"along the {listing(axes)} {'axis' if len(axes) == 1 else 'axes'}"
        if axes
        else "along the axis with the finest pixels within its slices, for each volume"
    )
    most = config.get("max_slices")
    at_most = (
        f" At most {count(most, 'slice')} of a volume and axis were taken, spread evenly." if most else ""
    )
    labels = config.get("labels")
    which = f" Only the labels {listing(str(v) for v in labels)} were scored." if labels else ""
    window = config.get("window")
    windows = (
        f"the window {window}"
        if window
        else "the soft-tissue window for CT, and for other images the 0.5 and 99.5 percentiles of the volume's voxels "
        "that are not zero"
    )
    resampled = (
        " Labels on another grid were brought to the image's by nearest neighbour."
        if config.get("resample")
        else ""
    )
    return (
        f"Volumes were turned, without resampling, to the voxel order inferior, posterior, left, and sliced {plane}. "
        f"An object was scored in every slice where it has more than {config.get('min_pixels', 50)} labelled pixels "
        f"(Huang et al. 2024).{at_most}{which} One label in one slice is one target, also where it has several parts. "
        f"Intensities were mapped to 0 to 255 by {windows}; the table of volumes lists level and width. "
        f"Slices with unequal pixel spacing were resampled to square pixels for the model, and masks brought "
        f"back to the "
        f"voxels.{resampled}"
    )


def _prompts(config: Mapping[str, Any], data: ReportData) -> str:
    variant = {
        "paper": "as the text of Huang et al. (2024) says",
        "repo": "as the code released by Huang et al. (2024) puts them",
    }.get(str(config.get("variant")), "")
    text = "Prompts were simulated from the truth" + (f"; points lie {variant}." if variant else ".")
    text += " Each slice was encoded once, and every strategy answered from the stored embedding."
    if "S1" in data.strategies:
        everything = config.get("everything") or {}
        text += (
            f" S1 laid a grid of {everything.get('points_per_side')} × {everything.get('points_per_side')} "
            f"points over the "
            "slice and kept masks as the automatic generator of Kirillov et al. (2023) does; where none was "
            "left the mask "
            "is empty and its Dice 0."
        )
    if "clicks" in data.strategies:
        text += (
            f" Up to {count(int(config.get('n_clicks', 5)), 'correction click')} went to the deepest point of "
            f"the largest "
            "error (Mazurowski et al. 2023), each with the low-resolution answer before it."
        )
    if any(model in BASELINES for model in data.models):
        text += (
            " The baselines see the box alone (ellipse: an ellipse that fills it; otsu: the grey on the "
            "better side of Otsu's threshold in it)."
        )
    return text


def _metrics(config: Mapping[str, Any]) -> str:
    names = listing(metric_label(name) for name in METRICS if METRICS.get(name).unit != "px")
    tolerance = config.get("tolerance_mm", 2.0)
    return (
        f"Metrics of every object in a slice: {names}, with a tolerance of {tolerance:g} mm for the surface agreement "
        "(Nikolov et al. 2021); distances also in pixels in the table of scores. Where exactly one mask is empty, "
        "overlap is 0 and distances are infinite; where both are, nothing is defined. Every mean is given "
        "with the number "
        "of values it rests on."
    )


def _statistics() -> str:
    return (
        f"Slices of one volume are not independent. Intervals are {LEVEL:.0%} percentile bootstrap intervals "
        f"over whole "
        f"volumes ({N_SAMPLES:,} samples, for correlations {N_FACTOR_SAMPLES:,}, seed 0; Efron 1979, Field and Welsh "
        "2007), and missing for a single volume. With few volumes they are rough and tend to be too short. Differences "
        "are paired by object and slice. Partial rank correlations invert the correlation matrix of the ranks of Dice "
        "and all factors (Huang et al. 2024); boundary complexity is the order of elliptic Fourier "
        "descriptors (Kuhl and "
        "Giardina 1982). Means by slice and means by volume are kept apart. No correction for multiple comparisons was "
        "made."
    )


def _lab(data: ReportData) -> str:
    config = data.lab_info.get("config") or {}
    text = "In the robustness lab prompts were moved by a random distance within a bin"
    bins, seeds = config.get("bins"), config.get("seeds")
    if bins:
        unit = "percent of the sides of the box" if config.get("bin_unit") == "%" else "pixels"
        text += f" ({listing(f'{low:g}-{high:g}' for low, high in bins)} {unit})"
    if seeds:
        text += f", {count(len(seeds), 'draw')} each (seeds {listing(str(seed) for seed in seeds)})"
    text += "; the sides of tight boxes were made longer or shorter; images were degraded and encoded anew."
    if _noisy(data):
        source = " (Gudbjartsson and Patz 1995)" if "noise" in config else ""
        text += f" Noise was {config.get('noise', 'Gaussian')}{source}."
    return text


def _noisy(data: ReportData) -> bool:
    return data.lab is not None and bool((data.lab["mode"] == "noise").any())


def reproducibility_section(data: ReportData, maker: Maker) -> Section:
    """Versions, weights, seeds and settings."""
    info, config = data.info, data.config
    packages = info.get("packages") or {}
    versions = [("napari-sam-med", str(info.get("napari_sam_med") or "not known"))]
    versions += [(name, str(found)) for name, found in packages.items() if name != "napari-sam-med"]
    versions += [("Python", str(info["python"]))] if info.get("python") else []
    versions += [("Platform", str(info["platform"]))] if info.get("platform") else []
    versions += [("This report", f"napari-sam-med {__version__}")]
    blocks: list[Block] = [
        maker.table(
            "Versions.", ["What", "Version"], [Group("", [cells(pair) for pair in versions])], n_texts=2
        )
    ]
    models = list((info.get("models") or {}).items())
    if models:
        rows = [cells([name, fingerprint]) for name, fingerprint in models]
        note = "The fingerprint holds the SHA-256 of the weights (its beginning), the preprocessing and the precision."
        blocks.append(
            maker.table("Models.", ["Model", "Fingerprint"], [Group("", rows)], note=note, n_texts=2)
        )
    rows = [
        cells([name.replace("_", " "), _plain(value)]) for name, value in config.items() if name != "cases"
    ]
    rows += [cells(["run time", f"{info['seconds']:g} s"])] if "seconds" in info else []
    if rows:
        blocks.append(
            maker.table("Settings of the evaluation.", ["Setting", "Value"], [Group("", rows)], n_texts=2)
        )
    return Section("reproducibility", "Reproducibility", blocks)


def sources_section(data: ReportData) -> Section:
    """What the methods rest on."""
    used = ["efron", "field", "huang", "kuhl", "nikolov"]
    if "S1" in data.strategies:
        used.append("kirillov")
    if {"clicks", "center"} & set(data.strategies):
        used.append("mazurowski")
    if _noisy(data):
        used.append("gudbjartsson")
    return Section("sources", "Sources", [Links([SOURCES[name] for name in sorted(used)])])


def _plain(value: Any) -> str:
    if value is None or value == []:
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{name.replace('_', ' ')} {_plain(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(each) for each in value)
    return str(value)
