"""A GPU's readings through NVML. What it refuses is missing, with the reason, and everything else goes on."""

import os
from collections.abc import Callable
from typing import Any

from bench.measure.telemetry import Reading

# Bits of the reasons for a lower clock (nvml.h, nvmlClocksEventReasons).
POWER_CAP = 0x4
THERMAL_OR_BRAKE = 0x8 | 0x20 | 0x40 | 0x80

_READINGS: dict[str, Callable[[Any, Any], float]] = {
    "gpu_sm_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM),
    "gpu_memory_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM),
    "gpu_celsius": lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
    "gpu_watts": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3,
    "gpu_busy_share": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    "gpu_memory_busy_share": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).memory / 100,
    "gpu_throttle_reasons": lambda nvml, gpu: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
    "gpu_energy_joules": lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3,
    "gpu_memory_bytes": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
    "gpu_processes": lambda nvml, gpu: len(nvml.nvmlDeviceGetComputeRunningProcesses(gpu)),
    "gpu_ecc_errors": lambda nvml, gpu: nvml.nvmlDeviceGetTotalEccErrors(
        gpu, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
    ),
    "gpu_power_violation_seconds": lambda nvml, gpu: _violation(nvml, gpu, nvml.NVML_PERF_POLICY_POWER),
    "gpu_thermal_violation_seconds": lambda nvml, gpu: _violation(nvml, gpu, nvml.NVML_PERF_POLICY_THERMAL),
    "gpu_reliability_violation_seconds": lambda nvml, gpu: _violation(nvml, gpu, nvml.NVML_PERF_POLICY_RELIABILITY),
}


def _violation(nvml: Any, gpu: Any, policy: int) -> float:
    return float(nvml.nvmlDeviceGetViolationStatus(gpu, policy).violationTime) / 1e9  # In nanoseconds.


class Gpu:
    """One GPU's readings; a name that it refuses when first asked is missing from then on."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle
        self.missing: dict[str, str] = {}
        for name, read in _READINGS.items():
            try:
                read(nvml, handle)
            except nvml.NVMLError as error:
                self.missing[name] = f"NVML: {error}"
        self.names = tuple(name for name in _READINGS if name not in self.missing)

    def read(self) -> Reading:
        return {name: self._ask(name) for name in self.names}

    def _ask(self, name: str) -> float | None:
        try:
            return float(_READINGS[name](self._nvml, self._handle))
        except self._nvml.NVMLError:
            return None


class NoGpu:
    """What stands in a GPU's place where NVML does not open it: nothing but the reason."""

    def __init__(self, reason: str) -> None:
        self.names: tuple[str, ...] = ()
        self.missing = dict.fromkeys(_READINGS, reason)

    def read(self) -> Reading:
        return {}


def open_gpu(device: str) -> Gpu | NoGpu:
    """Open the GPU that a framework calls `cuda` or `cuda:1`, of those that CUDA_VISIBLE_DEVICES leaves."""
    number = int(device.partition(":")[2] or 0)
    try:
        import pynvml
    except ImportError:
        return NoGpu("no NVML: pip install nvidia-ml-py")
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    try:
        pynvml.nvmlInit()  # Once a process is enough; NVML counts, and the end of the process ends it.
        if number >= len(visible):
            return Gpu(pynvml, pynvml.nvmlDeviceGetHandleByIndex(number))
        name = visible[number]
        if name.isdecimal():
            return Gpu(pynvml, pynvml.nvmlDeviceGetHandleByIndex(int(name)))
        return Gpu(pynvml, pynvml.nvmlDeviceGetHandleByUUID(name.encode()))
    except pynvml.NVMLError as error:
        return NoGpu(f"NVML: {error}")


def device_memory_bytes(device: str) -> int | None:
    """Return the bytes in use on a GPU, by whomever; None on a CPU or where NVML does not say."""
    if not device.startswith("cuda"):
        return None
    used = open_gpu(device).read().get("gpu_memory_bytes")
    return None if used is None else int(used)
