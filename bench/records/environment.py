"""The environment: the machine, the software and the command behind a result, read without importing a framework."""

import ctypes
import hashlib
import importlib.metadata
import io
import math
import os
import platform
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePath

import msgspec

from bench.measure.nvml import handle, visible
from bench.plan.files import PACKAGE

PACKAGES = (
    "imagebench",
    "torch",
    "torchvision",
    "timm",
    "keras",
    "tensorflow",
    "jax",
    "jaxlib",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "tf2onnx",
    "jax2onnx",
    "ai-edge-litert",
    "openvino",
    "tensorrt",
    "onnxruntime-gpu",
    "triton",
    "numpy",
    "scikit-learn",
    "pillow",
    "nvidia-cudnn-cu13",
    "nvidia-cublas",
)

# By the field in which Linux lists what a processor has, of x86-64 and of Arm, how vector and matrix instructions begin.
_EXTENSIONS = {"flags": ("avx", "fma", "amx"), "Features": ("asimd", "sve", "sme", "i8mm", "bf16")}


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU as NVML describes it; a field that NVML refuses is None."""

    name: str
    memory_bytes: int | None
    power_limit_watts: float | None
    sm_clock_maximum_mhz: int | None
    memory_clock_maximum_mhz: int | None
    ecc: bool | None


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Everything outside the cell that a figure may depend on. It holds no host name and no path of ours.

    `gpus`: those that CUDA_VISIBLE_DEVICES leaves, in its order, which is that of `cuda`, `cuda:1` and so on. `code`: the
    first 12 digits of the SHA-256 of this package's own source, installed or in a checkout. `cpu_extensions`: AVX, FMA and
    AMX, or Arm's Advanced SIMD, SVE and SME, by which kernels are chosen, as Linux names them; nothing where it names none.
    Two processors that a hypervisor calls the same may differ in them, and in every figure.
    """

    system: str
    python: str
    cpu: str
    cpu_cores_physical: int
    cpu_cores_logical: int
    cpu_governor: str | None
    memory_bytes: int
    gpus: tuple[Gpu, ...]
    driver: str | None
    cuda: str | None
    packages: dict[str, str]
    commit: str | None
    dirty: bool | None
    command: str
    code: str | None = None
    cpu_extensions: tuple[str, ...] = ()

    def gpu(self, device: str) -> Gpu | None:
        """Return the GPU that a framework calls `cuda` or `cuda:1`; None for a CPU, or where NVML has told of none."""
        kind, _, number = device.partition(":")
        place = int(number or 0)
        return self.gpus[place] if kind == "cuda" and place < len(self.gpus) else None


@cache
def environment() -> Environment:
    """Return the environment of this process, read once."""
    commit, dirty = _commit()
    gpus, driver, cuda = read_gpus()
    cpuinfo = _first_processor()
    return Environment(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cpu=cpu_name(cpuinfo),
        cpu_cores_physical=physical_cores(),
        cpu_cores_logical=os.cpu_count() or 1,
        cpu_governor=_first_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        gpus=gpus,
        driver=driver,
        cuda=cuda,
        packages=_packages(),
        commit=commit,
        dirty=dirty,
        command=" ".join(["bench", *sys.argv[1:]]),
        code=code_hash(PACKAGE),
        cpu_extensions=cpu_extensions(cpuinfo),
    )


def code_hash(package: Path) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of a package's Python files, with their names."""
    return _code_hash({file.relative_to(package): file.read_bytes() for file in package.rglob("*.py")})


def _code_hash(files: Mapping[PurePath, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\n".encode() + files[name])
    return digest.hexdigest()[:12]


@cache
def commit_of(code: str) -> str | None:
    """Return the newest commit of this checkout that holds code of this hash; None where none does, or git cannot say."""
    commits = (_git("log", "--format=%H", "--", ".") or "").split()
    return next((commit for commit in commits if _code_hash(_python_files(commit)) == code), None)


def _python_files(commit: str) -> dict[PurePath, bytes]:
    archive = _git_bytes("archive", commit)  # Of the folder that it is asked in.
    if archive is None:
        return {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as held:
        files = ((PurePath(member.name), held.extractfile(member)) for member in held)
        return {name: file.read() for name, file in files if file is not None and name.suffix == ".py"}


def physical_cores() -> int:
    """Return the number of cores, two threads of one core counted once, that this process may run on.

    A container's quota of CPU time limits it too: more threads than that would be stopped in turn.
    """
    cores = len(one_cpu_a_core())
    quota, _, period = (_first_line(Path("/sys/fs/cgroup/cpu.max")) or "max").partition(" ")
    return min(cores, math.ceil(int(quota) / int(period))) if quota.isdecimal() else cores


def one_cpu_a_core() -> tuple[int, ...]:
    """Return the first logical CPU of each core that this process may run on, in order."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    first: dict[str, int] = {}
    for cpu in sorted(allowed):
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        first.setdefault(_first_line(topology) or str(cpu), cpu)
    return tuple(first.values())


def read_gpus() -> tuple[tuple[Gpu, ...], str | None, str | None]:
    """Return the GPUs, the driver and the CUDA version it supports, from NVML; nothing where there is no NVML."""
    try:
        import pynvml
    except ImportError:
        return (), None, None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return (), None, None
    try:
        names = visible()
        if names is None:
            names = [str(number) for number in range(pynvml.nvmlDeviceGetCount())]
        handles = [handle(pynvml, name) for name in names]
        cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        return (
            tuple(_gpu(pynvml, one) for one in handles),
            str(pynvml.nvmlSystemGetDriverVersion()),
            f"{cuda // 1000}.{cuda % 1000 // 10}",
        )
    except (
        pynvml.NVMLError
    ):  # A device without permission: nothing can be said of it, and the CPU can still be measured.
        return (), None, None
    finally:
        pynvml.nvmlShutdown()


def has_cuda_driver() -> bool:
    """Return whether CUDA's own library is here, which comes with the driver; a container may have it and lack NVML."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _gpu(nvml: object, handle: object) -> Gpu:
    def ask(function: str, *arguments: object) -> object:
        try:
            return getattr(nvml, function)(handle, *arguments)
        except nvml.NVMLError:  # type: ignore[attr-defined]
            return None

    limit = ask("nvmlDeviceGetEnforcedPowerLimit")
    ecc = ask("nvmlDeviceGetEccMode")
    return Gpu(
        name=str(ask("nvmlDeviceGetName")),
        memory_bytes=getattr(ask("nvmlDeviceGetMemoryInfo"), "total", None),
        power_limit_watts=limit / 1000 if isinstance(limit, int) else None,
        sm_clock_maximum_mhz=ask("nvmlDeviceGetMaxClockInfo", 1),  # type: ignore[arg-type]
        memory_clock_maximum_mhz=ask("nvmlDeviceGetMaxClockInfo", 2),  # type: ignore[arg-type]
        ecc=bool(ecc[0]) if isinstance(ecc, (list, tuple)) else None,
    )


def _first_processor() -> dict[str, str]:
    """Return what Linux tells of the first processor, by its own names; nothing elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}


def cpu_name(cpuinfo: Mapping[str, str]) -> str:
    """Return a processor's name; a hypervisor may cut it down to the brand, so its family and model stand beside it."""
    name = cpuinfo.get("model name") or platform.processor() or platform.machine()
    numbers = [
        f"{said} {cpuinfo[field]}"
        for field, said in (
            *(("cpu family", "family"), ("model", "model")),
            *(("CPU implementer", "implementer"), ("CPU part", "part")),
        )
        if field in cpuinfo
    ]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def cpu_extensions(cpuinfo: Mapping[str, str]) -> tuple[str, ...]:
    """Return the vector and matrix instructions among what a processor of x86-64 or Arm says it has."""
    return tuple(
        sorted(
            flag
            for field, beginnings in _EXTENSIONS.items()
            for flag in cpuinfo.get(field, "").split()
            if flag.startswith(beginnings)
        )
    )


def _first_line(file: Path) -> str | None:
    try:
        return file.read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return None


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> tuple[str | None, bool | None]:
    """Return the commit of the checkout this package runs from, and whether tracked files differ from it."""
    if _git("ls-files", "--error-unmatch", str(Path(__file__).relative_to(PACKAGE))) is None:
        return None, None
    return _git("rev-parse", "HEAD"), bool(_git("status", "--porcelain", "--untracked-files=no"))


def _git(*arguments: str) -> str | None:
    answer = _git_bytes(*arguments)
    return None if answer is None else answer.decode().strip()


def _git_bytes(*arguments: str) -> bytes | None:
    """Return what git says in this package's folder; None where it is no checkout, or there is no git."""
    try:
        asked = subprocess.run(["git", "-C", str(PACKAGE), *arguments], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout if asked.returncode == 0 else None
