"""A GPU that is played: an NVML whose answers change while it is asked, for what no machine does when told to."""

import time
from types import SimpleNamespace
from typing import Any

MAXIMUM_MHZ = 1980


class NVMLError(Exception):
    """What NVML raises."""


class PlayedGpu:
    """The state that NVML is asked for. Tests change it, or put a method of their own in one's place."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.celsius = 40.0
        self.mhz = 1900.0
        self.reasons = 0
        self.watts = 300.0
        self.thermal_seconds = 0.0
        self.working = False

    def sampled(self) -> None:
        """Do what happens to the GPU whenever its temperature is asked for."""

    def processes(self) -> int:
        """Return how many processes have a context on the GPU."""
        return 0

    def joules(self) -> float:
        """Return the counter of energy."""
        return 5e6 + self.watts * (time.perf_counter() - self.begun)

    def module(self) -> SimpleNamespace:
        """Return what stands in the place of `pynvml`."""
        return SimpleNamespace(**_constants(), **self._readings(), **self._description())

    def _readings(self) -> dict[str, Any]:
        return {
            "nvmlDeviceGetClockInfo": lambda gpu, kind: self.mhz if kind == 1 else 2619.0,
            "nvmlDeviceGetTemperature": lambda gpu, kind: self._temperature(),
            "nvmlDeviceGetPowerUsage": lambda gpu: self.watts * 1e3,
            "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=100, memory=40),
            "nvmlDeviceGetCurrentClocksThrottleReasons": lambda gpu: self.reasons,
            "nvmlDeviceGetTotalEnergyConsumption": lambda gpu: self.joules() * 1e3,
            "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(used=5 << 30, total=80 << 30),
            "nvmlDeviceGetComputeRunningProcesses": lambda gpu: [None] * self.processes(),
            "nvmlDeviceGetTotalEccErrors": lambda gpu, kind, counter: 0,
            "nvmlDeviceGetViolationStatus": lambda gpu, policy: SimpleNamespace(
                violationTime=(self.thermal_seconds if policy == 1 else 0.0) * 1e9
            ),
        }

    def _temperature(self) -> float:
        self.sampled()
        return self.celsius

    def _description(self) -> dict[str, Any]:
        return {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlSystemGetDriverVersion": lambda: "580.0",
            "nvmlSystemGetCudaDriverVersion_v2": lambda: 13000,
            "nvmlDeviceGetCount": lambda: 1,
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetName": lambda gpu: "a played GPU",
            "nvmlDeviceGetEnforcedPowerLimit": lambda gpu: 700_000,
            "nvmlDeviceGetMaxClockInfo": lambda gpu, kind: MAXIMUM_MHZ,
            "nvmlDeviceGetEccMode": lambda gpu: [1, 1],
        }


def _constants() -> dict[str, Any]:
    return {
        "NVMLError": NVMLError,
        "NVML_CLOCK_SM": 1,
        "NVML_CLOCK_MEM": 2,
        "NVML_TEMPERATURE_GPU": 0,
        "NVML_MEMORY_ERROR_TYPE_UNCORRECTED": 1,
        "NVML_VOLATILE_ECC": 0,
        "NVML_PERF_POLICY_POWER": 0,
        "NVML_PERF_POLICY_THERMAL": 1,
        "NVML_PERF_POLICY_RELIABILITY": 5,
    }
