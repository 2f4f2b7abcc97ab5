"""The environment says what a figure may depend on, and nothing about who made it."""

import os
import socket
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from bench.records import environment as module
from bench.records.environment import environment, physical_cores, read_gpus


def test_it_names_the_machine_and_the_versions_but_no_host_and_no_path():
    found = environment()
    assert found.packages["torch"]
    assert found.memory_bytes > 2**30
    assert found.cpu_cores_physical >= 1
    told = msgspec.json.encode(msgspec.structs.replace(found, command="")).decode()
    assert socket.gethostname() not in told
    assert str(Path.home()) not in told
    assert str(Path(module.__file__).parent) not in told


def test_physical_cores_are_those_this_process_may_use():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert physical_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_a_gpu_that_refuses_a_field_has_none_there(monkeypatch: pytest.MonkeyPatch):
    class Refused(Exception):
        pass

    def refuse(*arguments: object) -> None:
        raise Refused

    nvml = SimpleNamespace(
        NVMLError=Refused,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlSystemGetCudaDriverVersion_v2=lambda: 13020,
        nvmlSystemGetDriverVersion=lambda: "580.1",
        nvmlDeviceGetName=lambda handle: "Virtual GPU",
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=2**34),
        nvmlDeviceGetEnforcedPowerLimit=refuse,
        nvmlDeviceGetMaxClockInfo=lambda handle, kind: 1980,
        nvmlDeviceGetEccMode=refuse,
    )
    monkeypatch.setitem(__import__("sys").modules, "pynvml", nvml)
    (gpu,), driver, cuda = read_gpus()
    assert (gpu.name, gpu.power_limit_watts, gpu.ecc, gpu.sm_clock_maximum_mhz) == ("Virtual GPU", None, None, 1980)
    assert (driver, cuda) == ("580.1", "13.2")
