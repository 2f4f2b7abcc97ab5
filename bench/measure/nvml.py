"""A GPU's readings through NVML. What it refuses is missing, with the reason, and everything else goes on."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bench.errors import Unavailable
from bench.measure.telemetry import Reading

# Bits of the reasons for a lower clock (nvml.h, nvmlClocksEventReasons).
POWER_CAP = 0x4
THERMAL_OR_BRAKE = 0x8 | 0x20 | 0x40 | 0x80

# The names that one call of NVML answers, and the call.
_CALLS: dict[tuple[str, ...], Callable[[Any, Any], Sequence[float]]] = {
    ("gpu_sm_mhz",): lambda nvml, gpu: [nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM)],
    ("gpu_memory_mhz",): lambda nvml, gpu: [nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM)],
    ("gpu_celsius",): lambda nvml, gpu: [nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)],
    ("gpu_watts",): lambda nvml, gpu: [nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3],
    ("gpu_busy_share", "gpu_memory_busy_share"): lambda nvml, gpu: _busy(nvml.nvmlDeviceGetUtilizationRates(gpu)),
    ("gpu_throttle_reasons",): lambda nvml, gpu: [nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)],
    ("gpu_energy_joules",): lambda nvml, gpu: [nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3],
    ("gpu_memory_bytes",): lambda nvml, gpu: [nvml.nvmlDeviceGetMemoryInfo(gpu).used],
    ("gpu_processes",): lambda nvml, gpu: [len(nvml.nvmlDeviceGetComputeRunningProcesses(gpu))],
    ("gpu_ecc_errors",): lambda nvml, gpu: [
        nvml.nvmlDeviceGetTotalEccErrors(gpu, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC)
    ],
    ("gpu_power_violation_seconds",): lambda nvml, gpu: _violation(nvml, gpu, nvml.NVML_PERF_POLICY_POWER),
    ("gpu_thermal_violation_seconds",): lambda nvml, gpu: _violation(nvml, gpu, nvml.NVML_PERF_POLICY_THERMAL),
    ("gpu_reliability_violation_seconds",): lambda nvml, gpu: _violation(nvml, gpu, nvml.NVML_PERF_POLICY_RELIABILITY),
}
ALL = tuple(name for names in _CALLS for name in names)


def _busy(rates: Any) -> list[float]:
    return [rates.gpu / 100, rates.memory / 100]


def _violation(nvml: Any, gpu: Any, policy: int) -> list[float]:
    return [float(nvml.nvmlDeviceGetViolationStatus(gpu, policy).violationTime) / 1e9]  # In nanoseconds.


class Gpu:
    """One GPU's readings, of those that are wanted; a name that it refuses when first asked is missing from then on."""

    def __init__(self, nvml: Any, handle: Any, wanted: Sequence[str] = ALL) -> None:
        self._nvml, self._handle = nvml, handle
        self._calls = {names: ask for names, ask in _CALLS.items() if not set(names).isdisjoint(wanted)}
        self.missing: dict[str, str] = {}
        for names, ask in list(self._calls.items()):
            try:
                ask(nvml, handle)
            except nvml.NVMLError as error:
                self.missing |= dict.fromkeys(names, f"NVML: {error}")
                del self._calls[names]
        self.names = tuple(name for names in self._calls for name in names)

    def read(self) -> Reading:
        return {name: value for names in self._calls for name, value in self._ask(names)}

    def _ask(self, names: tuple[str, ...]) -> list[tuple[str, float | None]]:
        try:
            return [(name, float(value)) for name, value in zip(names, self._answers(names), strict=True)]
        except self._nvml.NVMLError:
            return [(name, None) for name in names]

    def _answers(self, names: tuple[str, ...]) -> Sequence[float]:
        return self._calls[names](self._nvml, self._handle)


class NoGpu:
    """What stands in a GPU's place where NVML does not open it: nothing but the reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.names: tuple[str, ...] = ()
        self.missing = dict.fromkeys(ALL, reason)

    def read(self) -> Reading:
        return {}


def open_gpu(device: str, wanted: Sequence[str] = ALL) -> Gpu | NoGpu:
    """Open the GPU that a framework calls `cuda` or `cuda:1`, of those that CUDA_VISIBLE_DEVICES leaves."""
    number = int(device.partition(":")[2] or 0)
    try:
        import pynvml
    except ImportError:
        return NoGpu("no NVML: pip install nvidia-ml-py")
    names = visible()
    if names is not None and number >= len(names):
        return NoGpu(f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r} leaves no {device}")
    try:
        pynvml.nvmlInit()  # Once a process is enough; NVML counts, and the end of the process ends it.
        return Gpu(pynvml, handle(pynvml, str(number) if names is None else names[number]), wanted)
    except pynvml.NVMLError as error:
        return NoGpu(f"NVML: {error}")


def require_gpu() -> None:
    """Raise `Unavailable` where there is no NVIDIA GPU to run on."""
    found = open_gpu("cuda", ())
    if isinstance(found, NoGpu):
        raise Unavailable(f"it runs on an NVIDIA GPU, and there is none ({found.reason})")


def visible() -> list[str] | None:
    """Return the numbers or UUIDs of the GPUs that CUDA_VISIBLE_DEVICES leaves; None where it is not set, and leaves all."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return None if listed is None else [name.strip() for name in listed.split(",") if name.strip()]


def handle(nvml: Any, name: str) -> Any:
    """Return NVML's handle of a GPU by its number or UUID; raises NVML's error where there is no such GPU."""
    if name.isdecimal():
        return nvml.nvmlDeviceGetHandleByIndex(int(name))
    return nvml.nvmlDeviceGetHandleByUUID(name.encode())


class DeviceMemory(NamedTuple):
    """What NVML says of a GPU's memory: the bytes in use, by whomever, and by how many processes if it lists them."""

    used_bytes: int
    processes: int | None


def device_memory(device: str) -> DeviceMemory | None:
    """Return what is in use on a GPU; None on a CPU or where NVML does not say."""
    if not device.startswith("cuda"):
        return None
    found = open_gpu(device, ("gpu_memory_bytes", "gpu_processes")).read()
    used, processes = found.get("gpu_memory_bytes"), found.get("gpu_processes")
    return None if used is None else DeviceMemory(int(used), None if processes is None else int(processes))
