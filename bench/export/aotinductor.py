"""A package of AOTInductor: the program of torch.export compiled to native code, run by its own runner on the CPU."""

from pathlib import Path

from bench.errors import Unavailable
from bench.export.format import Exporter, Floats, Format, Run, Source, Wanted
from bench.export.runtime import python_runtime
from bench.export.torch_export import exported


def _from_torch(source: Source, wanted: Wanted) -> str:
    import torch

    # Keras's normalisation works in place, which the compiler does not take; without a table nothing else is decomposed.
    program = exported(source).run_decompositions({})
    # The number of threads is the runtime's to say, and not what there were when it was compiled.
    settings = {"cpp.dynamic_threads": True}
    torch._inductor.aoti_compile_and_package(program, package_path=str(wanted.artifact), inductor_configs=settings)
    return "torch.export, AOTInductor, any batch"


def _load(artifact: Path, threads: int) -> Run:
    import torch

    torch.set_num_threads(threads)
    runner = torch._inductor.aoti_load_package(str(artifact))

    def run(pixels: Floats) -> Floats:
        with torch.inference_mode():
            logits: Floats = runner(torch.from_numpy(pixels)).numpy()
        return logits

    return run


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
    answer=python_runtime(_load),
    packages=("torch._inductor.package",),
    needs=_needs,
)
