"""A GPU that refuses, hides or is not there costs its fields and nothing else; NVML is played."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from bench.measure.nvml import ALL, DeviceMemory, Gpu, NoGpu, device_memory, open_gpu


class NVMLError(Exception):
    pass


def refuse(*arguments: object) -> None:
    raise NVMLError("Not Supported")


def play(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> SimpleNamespace:
    """Put an NVML in place with two GPUs that answer everything, but for the changes."""
    answers = {
        "NVMLError": NVMLError,
        "NVML_CLOCK_SM": 1,
        "NVML_CLOCK_MEM": 2,
        "NVML_TEMPERATURE_GPU": 0,
        "NVML_MEMORY_ERROR_TYPE_UNCORRECTED": 1,
        "NVML_VOLATILE_ECC": 0,
        "NVML_PERF_POLICY_POWER": 0,
        "NVML_PERF_POLICY_THERMAL": 1,
        "NVML_PERF_POLICY_RELIABILITY": 5,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda index: f"gpu {index}",
        "nvmlDeviceGetHandleByUUID": lambda name: f"gpu {name.decode()}",
        "nvmlDeviceGetClockInfo": lambda gpu, kind: {1: 1980, 2: 3201}[kind],
        "nvmlDeviceGetTemperature": lambda gpu, kind: 41,
        "nvmlDeviceGetPowerUsage": lambda gpu: 120_500,
        "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=97, memory=40),
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda gpu: 0x4,
        "nvmlDeviceGetTotalEnergyConsumption": lambda gpu: 7_000_123,
        "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(used=5 << 30),
        "nvmlDeviceGetComputeRunningProcesses": lambda gpu: ["one", "two"],
        "nvmlDeviceGetTotalEccErrors": lambda gpu, kind, counter: 0,
        "nvmlDeviceGetViolationStatus": lambda gpu, policy: SimpleNamespace(violationTime=policy * 10**9),
    }
    played = SimpleNamespace(**answers | changes)
    monkeypatch.setitem(sys.modules, "pynvml", played)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return played


def test_everything_is_read_in_its_unit(monkeypatch: pytest.MonkeyPatch):
    play(monkeypatch)
    found = open_gpu("cuda")
    assert found.missing == {}
    assert found.read() == {
        "gpu_sm_mhz": 1980,
        "gpu_memory_mhz": 3201,
        "gpu_celsius": 41,
        "gpu_watts": 120.5,
        "gpu_busy_share": 0.97,
        "gpu_memory_busy_share": 0.4,
        "gpu_throttle_reasons": 4,
        "gpu_energy_joules": 7000.123,
        "gpu_memory_bytes": 5 << 30,
        "gpu_processes": 2,
        "gpu_ecc_errors": 0,
        "gpu_power_violation_seconds": 0,
        "gpu_thermal_violation_seconds": 1,
        "gpu_reliability_violation_seconds": 5,
    }


def test_what_a_virtual_gpu_refuses_is_missing_and_the_rest_is_read(monkeypatch: pytest.MonkeyPatch):
    play(monkeypatch, nvmlDeviceGetTotalEnergyConsumption=refuse, nvmlDeviceGetTemperature=refuse)
    found = open_gpu("cuda")
    assert found.missing == dict.fromkeys(("gpu_celsius", "gpu_energy_joules"), "NVML: Not Supported")
    assert found.read().keys() == set(ALL) - found.missing.keys()


def test_a_reading_that_fails_once_is_a_hole(monkeypatch: pytest.MonkeyPatch):
    played = play(monkeypatch)
    found = open_gpu("cuda")
    played.nvmlDeviceGetPowerUsage = refuse
    assert found.read()["gpu_watts"] is None
    assert found.read()["gpu_celsius"] == 41


@pytest.mark.parametrize(
    ("visible", "device", "handle"),
    [
        (None, "cuda", "gpu 0"),
        (None, "cuda:1", "gpu 1"),
        ("3,2", "cuda", "gpu 3"),
        ("3, 2", "cuda:1", "gpu 2"),
        ("GPU-ab12", "cuda:0", "gpu GPU-ab12"),
    ],
)
def test_a_frameworks_number_is_one_of_the_visible_gpus(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, device: str, handle: str
):
    asked = []
    play(monkeypatch, nvmlDeviceGetPowerUsage=lambda gpu: asked.append(gpu) or 1000)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert isinstance(open_gpu(device), Gpu)
    assert set(asked) == {handle}


def test_no_nvml_and_an_nvml_that_does_not_start_are_reasons(monkeypatch: pytest.MonkeyPatch):
    play(monkeypatch, nvmlInit=refuse)
    refused = open_gpu("cuda")
    assert isinstance(refused, NoGpu)
    assert set(refused.missing.values()) == {"NVML: Not Supported"}
    assert refused.read() == {}
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "nvidia-ml-py" in open_gpu("cuda").missing["gpu_watts"]


@pytest.mark.parametrize(("visible", "device"), [("", "cuda"), ("3", "cuda:1")])
def test_a_gpu_that_is_not_visible_is_no_other_gpu(monkeypatch: pytest.MonkeyPatch, visible: str, device: str):
    play(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert open_gpu(device).missing["gpu_watts"] == f"CUDA_VISIBLE_DEVICES={visible!r} leaves no {device}"


def test_a_reading_asks_nvml_once_for_what_one_call_answers(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    played = play(monkeypatch)
    for name, answer in vars(played).items():
        if name.startswith("nvmlDeviceGet"):
            setattr(played, name, lambda *a, name=name, answer=answer: asked.append(name) or answer(*a))
    found = open_gpu("cuda")
    asked.clear()
    found.read()
    assert len(asked) == len(ALL) - 1
    assert asked.count("nvmlDeviceGetUtilizationRates") == 1
    asked.clear()
    device_memory("cuda")
    assert set(asked[1:]) == {"nvmlDeviceGetMemoryInfo", "nvmlDeviceGetComputeRunningProcesses"}


def test_a_cpu_has_no_device_memory_to_tell(monkeypatch: pytest.MonkeyPatch):
    play(monkeypatch)
    assert device_memory("cpu") is None
    assert device_memory("cuda") == DeviceMemory(5 << 30, 2)
    play(monkeypatch, nvmlDeviceGetComputeRunningProcesses=refuse)
    assert device_memory("cuda") == DeviceMemory(5 << 30, None)
    play(monkeypatch, nvmlDeviceGetMemoryInfo=refuse)
    assert device_memory("cuda") is None
