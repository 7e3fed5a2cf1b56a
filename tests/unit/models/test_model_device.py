"""Which device runs the model."""

from __future__ import annotations

import pytest
import torch

from napari_sam_med.core.errors import ModelError
from napari_sam_med.models import device


@pytest.fixture
def machine(monkeypatch):
    """Pretend that this machine has these devices."""

    def pretend(cuda: bool = False, mps: bool = False, mps_agrees: bool = True) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(device, "agrees_with_cpu", lambda name: mps_agrees)

    return pretend


@pytest.mark.parametrize(
    ("has", "chosen"),
    [
        ({"cuda": True, "mps": True}, "cuda"),
        ({"mps": True}, "mps"),
        ({"mps": True, "mps_agrees": False}, "cpu"),
        ({}, "cpu"),
    ],
)
def test_auto_takes_the_fastest_that_computes_right(machine, has, chosen):
    machine(**has)
    assert device.choose_device() == chosen


@pytest.mark.parametrize("wanted", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(machine, wanted):
    machine()
    with pytest.raises(ModelError, match="cpu"):
        device.choose_device(wanted)


def test_a_wrong_mps_is_refused_and_a_right_one_taken(machine):
    machine(mps=True)
    assert device.choose_device("MPS") == "mps"
    machine(mps=True, mps_agrees=False)
    with pytest.raises(ModelError):
        device.choose_device("mps")


def test_an_unknown_device_is_refused():
    with pytest.raises(ModelError, match="auto"):
        device.choose_device("tpu")


def test_the_cpu_agrees_with_itself():
    assert device.agrees_with_cpu("cpu")


def test_a_device_that_computes_wrong_or_fails_does_not_agree(monkeypatch):
    right = device._probe
    monkeypatch.setattr(device, "_probe", lambda name: right("cpu") + (0 if name == "cpu" else 0.1))
    assert not device.agrees_with_cpu("mps")
    monkeypatch.setattr(device, "_probe", right)
    assert not device.agrees_with_cpu("a device that torch has never heard of")


def test_threads_are_set_only_when_told(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.delenv("NAPARI_SAM_MED_THREADS", raising=False)
        device.set_threads()
        assert torch.get_num_threads() == before
        monkeypatch.setenv("NAPARI_SAM_MED_THREADS", "3")
        device.set_threads()
        assert torch.get_num_threads() == 3
        monkeypatch.setenv("NAPARI_SAM_MED_THREADS", "many")
        with pytest.raises(ModelError, match="NAPARI_SAM_MED_THREADS"):
            device.set_threads()
    finally:
        torch.set_num_threads(before)
