"""A package of AOTInductor: the program of torch.export compiled to native code, run by its own runner on the CPU."""

from typing import Any

from bench.errors import Unavailable
from bench.export.format import Exporter, Format, Source, Wanted
from bench.export.torch_export import exported
from bench.export.torchscript import module_runtime


def _from_torch(source: Source, wanted: Wanted) -> str:
    import torch

    # Keras's normalisation works in place, which the compiler does not take; without a table nothing else is decomposed.
    program = exported(source).run_decompositions({})
    # The number of threads is the runtime's to say, and not what there were when it was compiled.
    settings = {"cpp.dynamic_threads": True}
    torch._inductor.aoti_compile_and_package(program, package_path=str(wanted.artifact), inductor_configs=settings)
    return "torch.export, AOTInductor, any batch"


def _open(artifact: str) -> Any:
    import torch

    return torch._inductor.aoti_load_package(artifact)


def _needs() -> None:
    import os
    import shutil

    if not (os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")):
        raise Unavailable("AOTInductor needs a C++ compiler: apt-get install g++")


FORMAT = Format(
    runtime="AOTInductor, CPU",
    suffix=".pt2",
    example="run_aotinductor.py",
    exporters={kind: Exporter(_from_torch, ("torch._inductor",)) for kind in ("torch", "keras-torch")},
    answer=module_runtime(_open),
    packages=("torch._inductor.package",),
    needs=_needs,
)
