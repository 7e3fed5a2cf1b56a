"""The npe2 manifest agrees with the code it points to."""

from __future__ import annotations

import ast
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_sam_med
from napari_sam_med.gui.settings import Settings
from napari_sam_med.io import READ_SUFFIXES, WRITE_SUFFIXES

MANIFEST = Path(napari_sam_med.__file__).parent / "napari.yaml"


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(MANIFEST)


def test_it_is_found_through_its_entry_point(manifest):
    (entry,) = entry_points(group="napari.manifest", name="napari-sam-med")
    assert entry.value == "napari_sam_med:napari.yaml"
    assert manifest.name == entry.name


def test_every_command_is_a_function_of_this_package(manifest):
    """Read from the source, so that no Qt is needed."""
    for command in manifest.contributions.commands:
        module, _, function = command.python_name.partition(":")
        assert module.startswith("napari_sam_med.")
        source = MANIFEST.parents[1].joinpath(*module.split(".")).with_suffix(".py")
        tree = ast.parse(source.read_text(encoding="utf-8"))
        found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        imported = {
            alias.asname or alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert function in found | imported, command.id


def test_it_reads_every_suffix_that_io_reads(manifest):
    patterns = {p for reader in manifest.contributions.readers for p in reader.filename_patterns}
    assert {p.removeprefix("*") for p in patterns} == set(READ_SUFFIXES)
    assert any(reader.accepts_directories for reader in manifest.contributions.readers)


def test_it_writes_every_suffix_that_io_writes_and_labels_alone(manifest):
    writers = manifest.contributions.writers
    assert {s for writer in writers for s in writer.filename_extensions} == set(WRITE_SUFFIXES)
    for writer in writers:
        assert [t for t in writer.layer_types if not t.startswith("labels")] == []


def test_it_offers_the_three_panels_and_two_samples(manifest):
    names = {widget.display_name for widget in manifest.contributions.widgets}
    assert names >= {"Segment", "Evaluate", "Diagnostics"}
    assert len(manifest.contributions.sample_data) >= 2


def test_settings_have_the_defaults_of_the_code(manifest):
    declared = {
        name: setting.default
        for section in manifest.contributions.configurations.values()
        for name, setting in section.properties.items()
    }
    used = {field.name: field.default for field in fields(Settings)}
    assert {k: v or None for k, v in declared.items()} == {k: v or None for k, v in used.items()}
