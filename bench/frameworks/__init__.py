"""What is measured: a literal table of frameworks. Nothing here imports one of them."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from bench.errors import UsageError
from bench.plan.files import PACKAGE


class Framework(msgspec.Struct, frozen=True, kw_only=True):
    """One framework, as data.

    kind: the library whose table its figures stand in. build: 'module:function' that makes a Trial. catalogue:
    'module:function' that lists the models it has, or None. packages: what must be installed, by import name. install: what
    to type when it is not. preload: what the fork server imports. environment: variables set before the interpreter starts.
    precisions: what each kind of device can do. executions: what it can do besides. out_of_memory: patterns of the
    exceptions that mean it besides MemoryError, searched for in 'module.Class: message'. any_architecture: whether it takes
    architectures whose cards do not name it. library: the section of a card that names its models, where that is not the
    framework's own name. ceilings: 'module:function' that measures what its devices can do at most, whoever runs on them; None
    where it runs on none. checkpoint: what the name of a file of its weights ends with. source: what kind of source a format is
    made from, where that is not the framework's own name.
    """

    kind: str
    build: str
    catalogue: str | None
    packages: tuple[str, ...]
    install: str
    preload: tuple[str, ...]
    environment: dict[str, str]
    precisions: dict[str, tuple[str, ...]]
    out_of_memory: tuple[str, ...] = ()
    any_architecture: bool = False
    executions: tuple[str, ...] = ("eager", "compiled")
    library: str | None = None
    ceilings: str | None = "bench.frameworks.pytorch_ceilings:measure"
    checkpoint: str = ".safetensors"
    channels_first: bool = False
    source: str | None = None


_PRECISIONS = {
    "cpu": ("fp32", "amp-fp16", "amp-bf16", "bf16"),
    "cuda": ("fp32", "tf32", "amp-fp16", "amp-bf16", "bf16"),
}
_PYTORCH_OUT_OF_MEMORY = (
    r"^torch\.OutOfMemoryError",
    r"DefaultCPUAllocator: (can't allocate memory|not enough memory)",
    r"std::bad_alloc",
    r"CUDA (error: )?out of memory",
    r"(CUBLAS|CUDNN)_STATUS_ALLOC_FAILED",
    r"could not create a memory object",
)
# One set for torchvision, timm and Keras on torch, so that one fork server serves all three.
_PYTORCH_PRELOAD = (
    "torch",
    "torchvision",
    "timm",
    "PIL.Image",
    "torch._dynamo",
    "bench.frameworks.pytorch",
    "bench.frameworks.keras_torch",
)
# OpenBLAS, which only NumPy uses here, would start a pool of threads in the server that is forked from.
_PYTORCH_ENVIRONMENT = {
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "KERAS_BACKEND": "torch",
    # What was compiled by an earlier job would make this one's compile time that of a look-up.
    "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
}
_KERAS_PRELOAD = ("keras", "PIL.Image", "bench.frameworks.keras")

FRAMEWORKS: dict[str, Framework] = {
    "torchvision": Framework(
        kind="PyTorch",
        build="bench.frameworks.torchvision:build",
        source="torch",
        channels_first=True,
        catalogue="bench.frameworks.torchvision:catalogue",
        packages=("torch", "torchvision", "sklearn"),
        install="pip install 'imagebench[torch]'",
        preload=_PYTORCH_PRELOAD,
        environment=_PYTORCH_ENVIRONMENT,
        precisions=_PRECISIONS,
        out_of_memory=_PYTORCH_OUT_OF_MEMORY,
    ),
    "timm": Framework(
        kind="PyTorch",
        build="bench.frameworks.timm:build",
        source="torch",
        channels_first=True,
        catalogue="bench.frameworks.timm:catalogue",
        packages=("torch", "timm", "sklearn"),
        install="pip install 'imagebench[torch]'",
        preload=_PYTORCH_PRELOAD,
        environment=_PYTORCH_ENVIRONMENT,
        precisions=_PRECISIONS,
        out_of_memory=_PYTORCH_OUT_OF_MEMORY,
    ),
    "keras-tensorflow": Framework(
        kind="Keras",
        build="bench.frameworks.keras:build",
        catalogue="bench.frameworks.keras:catalogue",
        packages=("keras", "tensorflow", "sklearn"),
        install="pip install 'imagebench[tensorflow]'",
        preload=("tensorflow", *_KERAS_PRELOAD, "bench.frameworks.keras_tensorflow"),
        environment={"KERAS_BACKEND": "tensorflow", "OPENBLAS_NUM_THREADS": "1"},
        precisions=_PRECISIONS,
        out_of_memory=(r"ResourceExhaustedError", r"^tensorflow.*OOM when allocating"),
        executions=("eager", "compiled", "xla"),
        library="keras",
        checkpoint=".keras",
    ),
    "keras-jax": Framework(
        kind="Keras",
        build="bench.frameworks.keras:build",
        catalogue="bench.frameworks.keras:catalogue",
        packages=("keras", "jax", "sklearn"),
        install="pip install 'imagebench[jax]'",
        preload=("jax", *_KERAS_PRELOAD, "bench.frameworks.keras_jax"),
        environment={
            "KERAS_BACKEND": "jax",
            "OPENBLAS_NUM_THREADS": "1",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        },
        precisions=_PRECISIONS,
        out_of_memory=(r"RESOURCE_EXHAUSTED",),
        library="keras",
        checkpoint=".keras",
    ),
    "keras-torch": Framework(
        kind="Keras",
        build="bench.frameworks.keras:build",
        catalogue="bench.frameworks.keras:catalogue",
        packages=("keras", "torch", "torchvision", "sklearn"),
        install="pip install 'imagebench[torch,keras]'",
        preload=_PYTORCH_PRELOAD,
        environment=_PYTORCH_ENVIRONMENT,
        precisions=_PRECISIONS,
        out_of_memory=_PYTORCH_OUT_OF_MEMORY,
        library="keras",
        checkpoint=".keras",
    ),
    "fake": Framework(
        kind="Fake",
        build="bench.frameworks.fake:build",
        catalogue="bench.frameworks.fake:catalogue",
        packages=("numpy", "sklearn", "PIL"),
        install="pip install numpy scikit-learn pillow",
        preload=("numpy", "PIL.Image"),
        environment={"OPENBLAS_NUM_THREADS": "1"},
        precisions={"cpu": ("fp32",), "cuda": ("fp32",)},
        any_architecture=True,
        ceilings=None,
        checkpoint=".npy",
    ),
}


def use(framework: str) -> None:
    """Set what a framework needs in this process's environment, before it is imported here.

    Raises `UsageError` where Keras runs here on another backend already.
    """
    backend = FRAMEWORKS[framework].environment.get("KERAS_BACKEND")
    if "keras" in sys.modules and os.environ.get("KERAS_BACKEND") != backend:
        raise UsageError(f"Keras runs in this process on {os.environ.get('KERAS_BACKEND')} already; begin a new one")
    os.environ.update(FRAMEWORKS[framework].environment)


def builder(framework: str) -> Callable[..., Any]:
    """Return the function that makes a framework's trial; raise `UsageError` that says what to install."""
    missing = missing_packages(framework)
    if missing:
        raise UsageError(f"{framework} needs {', '.join(missing)}: {FRAMEWORKS[framework].install}")
    module, _, function = FRAMEWORKS[framework].build.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def library(framework: str) -> str:
    """Return the section of a card that names a framework's models."""
    return (FRAMEWORKS[framework].library if framework in FRAMEWORKS else None) or framework


def source_kind(framework: str) -> str:
    """Return what kind of source the exporters know a framework's models as."""
    return FRAMEWORKS[framework].source or framework


def missing_packages(framework: str) -> tuple[str, ...]:
    """Return the packages that a framework needs and this interpreter does not find, without importing any."""
    return tuple(name for name in FRAMEWORKS[framework].packages if importlib.util.find_spec(name) is None)


@cache
def catalogue(framework: str) -> list[str] | None:
    """Return the names of every model a framework has, asked in a process of its own; None where it cannot say."""
    entry = FRAMEWORKS[framework].catalogue
    if entry is None or missing_packages(framework):
        return None
    module, _, function = entry.partition(":")
    code = (
        "import sys; sys.path.append(sys.argv[1]); import importlib, json; "
        f"names = importlib.import_module({module!r}).{function}(); print(); print(json.dumps(names))"
    )
    asked = subprocess.run(
        [sys.executable, "-P", "-c", code, str(PACKAGE.parent)],
        env=os.environ | FRAMEWORKS[framework].environment,
        capture_output=True,
        text=True,
        check=True,
    )
    names: list[str] = json.loads(asked.stdout.splitlines()[-1])
    return names
