"""What this machine can measure, and what to install for the rest."""

import importlib.util
import shutil
from pathlib import Path

from bench.errors import Unavailable
from bench.export.find import find
from bench.records.environment import environment
from bench.report.listing import frameworks
from bench.report.readme import machine
from bench.report.table import Table

_EXTRAS = (
    ("ONNX export and run", ("onnx", "onnxscript", "onnxruntime", "tf2onnx"), "pip install 'imagebench[export]'"),
    ("ONNX export from Keras on JAX", ("jax2onnx",), "pip install 'imagebench[export-jax]'"),
    ("OpenVINO export and run", ("openvino",), "pip install 'imagebench[export]'"),
    ("LiteRT export and run", ("ai_edge_litert",), "pip install 'imagebench[export]'"),
    ("bench.load, as a DataFrame", ("pandas",), "pip install 'imagebench[report]'"),
)

_BESIDE_PIP = ("tfjs", "tfjs-chromium")


def findings() -> tuple[Table, ...]:
    """Return the machine, the frameworks, and each ability with what it needs."""
    found = environment()
    rows = [("Machine", "yes", machine(found).removeprefix("Machine: "))]
    rows += _gpu_rows(len(found.gpus))
    for ability, modules, install in _EXTRAS:
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        rows.append(
            (ability, "no" if missing else "yes", f"{', '.join(missing)} missing: {install}" if missing else "")
        )
    compiler = shutil.which("g++") or shutil.which("clang++")
    advice = "" if compiler else "torch.compile needs a C++ compiler: apt-get install g++"
    rows.append(("Execution 'compiled' on the CPU in PyTorch", "yes" if compiler else "no", advice))
    rows += [_runs(name) for name in _BESIDE_PIP]
    energy = any(Path("/sys/class/powercap").glob("intel-rapl*/energy_uj"))
    rows.append(
        (
            "CPU energy counter (RAPL)",
            "yes" if energy else "no",
            "" if energy else "the kernel shows no powercap counter",
        )
    )
    columns = ("Ability", "Here", "Remark")
    return Table(title="This machine", columns=columns, labels=1, rows=tuple(rows)), frameworks()


def _runs(name: str) -> tuple[str, str, str]:
    """Return whether what no package brings and a format's artifacts run in is here: programs, an environment."""
    ability = f"What runs {name}"
    try:
        find(name).needs()
    except Unavailable as missing:
        return ability, "no", str(missing)
    return ability, "yes", ""


def _gpu_rows(count: int) -> list[tuple[str, str, str]]:
    telemetry = "GPU telemetry through NVML"
    if importlib.util.find_spec("pynvml") is None:
        advice = "pynvml missing: pip install 'imagebench[images]'"
        return [("NVIDIA GPU", "no", f"NVML is not asked: {advice}"), (telemetry, "no", advice)]
    if count:
        return [("NVIDIA GPU", "yes", f"{count}, used unless --device cpu is given"), (telemetry, "yes", "")]
    none = "NVML sees none; cells run on the CPU, tf32 is unsupported"
    return [("NVIDIA GPU", "no", none), (telemetry, "no", "pynvml is there, but no GPU to ask")]
