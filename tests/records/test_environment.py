"""The environment says what a figure may depend on, and nothing about who made it."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from played_nvml import PlayedGpu

from bench.records import environment as module
from bench.records.environment import (
    code_hash,
    commit_of,
    cpu_extensions,
    cpu_name,
    environment,
    one_cpu_a_core,
    physical_cores,
    read_gpus,
)


def test_it_names_the_machine_and_the_versions_but_no_host_and_no_path():
    found = environment()
    assert found.packages["torch"]
    assert found.memory_bytes > 2**30
    assert found.cpu_cores_physical >= 1
    told = msgspec.json.encode(msgspec.structs.replace(found, command="")).decode()
    assert socket.gethostname() not in told
    assert str(Path.home()) not in told
    assert str(Path(module.__file__).parent) not in told


def test_two_processors_that_a_hypervisor_calls_the_same_are_told_apart():
    older = {"model name": "AMD EPYC", "cpu family": "25", "model": "1", "flags": "fpu sse2 avx smep fma avx2"}
    newer = older | {"cpu family": "26", "model": "2", "flags": f"{older['flags']} avx512f avx512_vnni"}
    assert cpu_name(older) == "AMD EPYC (family 25, model 1)"
    assert cpu_name(newer) == "AMD EPYC (family 26, model 2)"
    assert cpu_extensions(older) == ("avx", "avx2", "fma")
    assert cpu_extensions(newer) == ("avx", "avx2", "avx512_vnni", "avx512f", "fma")


def test_an_arm_processor_has_a_part_and_its_extensions():
    arm = {"processor": "0", "CPU implementer": "0x41", "CPU part": "0xd4f", "Features": "fp asimd sve i8mm bf16 crc32"}
    assert cpu_name(arm).endswith(" (implementer 0x41, part 0xd4f)")
    assert cpu_extensions(arm) == ("asimd", "bf16", "i8mm", "sve")


def test_a_system_that_tells_nothing_of_its_processor_has_a_name_for_it_all_the_same():
    assert cpu_name({})
    assert cpu_extensions({}) == ()


def test_physical_cores_are_those_this_process_may_use():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert physical_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_two_threads_of_one_core_are_one(monkeypatch: pytest.MonkeyPatch):
    pairs = ("0,4", "1,5", "2,6", "3,7")
    told = {f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": pairs[cpu % 4] for cpu in range(8)}
    monkeypatch.setattr(module, "_first_line", lambda file: told.get(str(file)))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 2, 3, 4, 5, 6})
    assert one_cpu_a_core() == (1, 2, 3, 4)
    assert physical_cores() == 4


def test_a_gpu_that_refuses_a_field_has_none_there(monkeypatch: pytest.MonkeyPatch):
    class Refused(Exception):
        pass

    def refuse(*arguments: object) -> None:
        raise Refused

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvml = SimpleNamespace(
        NVMLError=Refused,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlSystemGetCudaDriverVersion_v2=lambda: 13020,
        nvmlSystemGetDriverVersion=lambda: "580.1",
        nvmlDeviceGetName=lambda handle: "Virtual GPU",
        nvmlDeviceGetMemoryInfo=refuse,
        nvmlDeviceGetEnforcedPowerLimit=refuse,
        nvmlDeviceGetMaxClockInfo=lambda handle, kind: 1980,
        nvmlDeviceGetEccMode=refuse,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    (gpu,), driver, cuda = read_gpus()
    assert (gpu.name, gpu.power_limit_watts, gpu.ecc, gpu.sm_clock_maximum_mhz) == ("Virtual GPU", None, None, 1980)
    assert gpu.memory_bytes is None, "a GPU that shares the machine's memory has none of its own to tell"
    assert (driver, cuda) == ("580.1", "13.2")


def test_the_gpus_are_those_that_a_framework_sees_in_its_order(monkeypatch: pytest.MonkeyPatch):
    nvml = PlayedGpu().module()
    nvml.nvmlDeviceGetName = lambda handle: f"GPU {handle}"
    nvml.nvmlDeviceGetCount = lambda: 4
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    for visible, names in (("3,1", ["GPU 3", "GPU 1"]), ("", []), (None, [f"GPU {number}" for number in range(4)])):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        gpus, _, _ = read_gpus()
        assert [gpu.name for gpu in gpus] == names
        there = msgspec.structs.replace(environment(), gpus=gpus)
        assert [there.gpu(device) for device in ("cuda", "cuda:1")] == [*gpus[:2], None, None][:2]
        assert there.gpu("cpu") is None


@pytest.mark.parametrize(("quota", "cores"), [("100000 100000", 1), ("max 100000", None), ("150000 100000", 2)])
def test_a_containers_quota_limits_the_cores(monkeypatch: pytest.MonkeyPatch, quota: str, cores: int | None):
    told = {"/sys/fs/cgroup/cpu.max": quota} | {
        f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": str(cpu) for cpu in range(8)
    }
    monkeypatch.setattr(module, "_first_line", lambda file: told.get(str(file)))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    assert physical_cores() == (cores or 8)


def test_changed_source_has_another_hash(tmp_path: Path):
    (tmp_path / "one.py").write_text("1")
    before = module.code_hash(tmp_path)
    assert module.code_hash(tmp_path) == before
    (tmp_path / "one.py").write_text("2")
    assert module.code_hash(tmp_path) != before


def test_code_is_found_in_the_commit_that_holds_it(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PACKAGE", checkout / "bench")

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
        asked = ["git", *who, *arguments]
        return subprocess.run(asked, cwd=checkout, check=True, capture_output=True, text=True).stdout.strip()

    before = code_hash(module.PACKAGE)
    assert commit_of(before) == git("rev-parse", "HEAD")
    (module.PACKAGE / "export" / "new.py").write_text("# new\n")
    after = code_hash(module.PACKAGE)
    assert commit_of(after) is None
    git("add", "-A")
    git("commit", "-qm", "new")
    commit_of.cache_clear()
    assert (commit_of(before), commit_of(after)) == (git("rev-parse", "HEAD~1"), git("rev-parse", "HEAD"))
