"""Documents name what the code has: commands, suffixes, windows and keys."""

import re
from pathlib import Path

import pytest
import typer

from napari_sam_med.cli.app import app
from napari_sam_med.core.windowing import CT_PRESETS, WINDOW_NAMES
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.degradations import DEGRADATIONS
from napari_sam_med.evaluation.robustness_config import RobustnessConfig
from napari_sam_med.evaluation.robustness_rows import COLUMNS
from napari_sam_med.evaluation.table import columns
from napari_sam_med.gui.widgets.segment_keys import KEYS
from napari_sam_med.io import READ_SUFFIXES, WRITE_SUFFIXES

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(name: str, heading: str) -> list[list[str]]:
    """Cells of the first table under a heading."""
    section = text(name).split(f"# {heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    return [
        [cell.strip() for cell in line.strip("|\n").split("|")] for line in table.group().splitlines()[2:]
    ]


def test_every_command_has_a_chapter():
    headings = " ".join(re.findall(r"^## (.*)$", text("docs/cli.md"), re.MULTILINE))
    commands = {c.name for c in app.registered_commands} | {g.name for g in app.registered_groups}
    assert {c for c in commands if c not in headings} == set()


def test_commands_in_examples_have_their_options():
    click_group = typer.main.get_command(app)
    checked = 0
    for path in DOCUMENTS:
        for block in re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                words = line.split("#")[0].split()
                if words[:1] != ["napari-sam-med"] or len(words) < 2 or words[1] not in click_group.commands:
                    continue
                command = click_group.commands[words[1]]
                known = {option for parameter in command.params for option in parameter.opts}
                used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
                assert used <= known, (path.name, line)
                checked += len(used)
    assert checked > 10


def test_keys():
    listed = {row[0].strip("`") for row in rows("docs/usage.md", "Keys")}
    assert listed == {*KEYS.values(), "right drag"}


def test_windows():
    table = {row[0].strip("`"): row[1] for row in rows("docs/usage.md", "Windows")}
    assert set(table) == set(WINDOW_NAMES)
    for name, window in CT_PRESETS.items():
        assert table[name] == f"{window.level:g} / {window.width:g} HU"


def test_formats():
    table = rows("docs/usage.md", "File formats")
    read = {suffix for row in table if row[2] == "yes" for suffix in re.findall(r"`(\.[\w.]+)`", row[1])}
    written = {suffix for row in table if row[3] == "yes" for suffix in re.findall(r"`(\.[\w.]+)`", row[1])}
    assert read == set(READ_SUFFIXES)
    assert written == set(WRITE_SUFFIXES)


def test_columns_of_scores_stand_in_their_order():
    names = columns()
    listed = []
    for row in rows("docs/cli.md", "Columns of scores.csv"):
        named = re.findall(r"`(\w+)`", row[0])
        if " to " in row[0]:
            first, last = named
            named = names[names.index(first) : names.index(last) + 1]
        listed += named
    assert listed == names


def test_columns_of_the_robustness_lab_stand_in_their_order():
    table = rows("docs/cli.md", "Columns of robustness.csv")
    assert [name for row in table for name in re.findall(r"`(\w+)`", row[0])] == list(COLUMNS)


def test_degradations_are_all_there():
    assert {row[0].strip("`") for row in rows("docs/cli.md", "Degradations")} == set(DEGRADATIONS)


def test_the_number_of_answers_an_object_takes():
    usual = ("S2", "S3", "S4", "S5", "S6")
    settings = RobustnessConfig(EvaluationConfig(models=("builtin",), strategies=usual))
    changed = [step for name in usual for step in settings.steps(name) if not step.plain]
    told = re.search(r"takes (\d+) answers of a model", " ".join(text("docs/cli.md").split()))
    assert int(told[1]) == len(changed) + len(usual)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(path):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (path.parent / t).exists()]
    assert missing == []
