"""A program of torch.export, for any batch, run as a module by PyTorch on the CPU."""

from typing import Any

from bench.export.format import Exporter, Format, Source, Wanted
from bench.export.torchscript import module_runtime


def exported(source: Source) -> Any:
    """Return the program of a model, `torch.export.ExportedProgram`, whose batch may be any from 1."""
    import torch

    model = source.model.eval()
    example = source.example
    if source.kind != "torch":  # Keras says the shape of its input.
        example = torch.zeros(2, *example.shape[1:])
    batch = {0: torch.export.Dim("batch", min=1, max=4096)}
    shapes = (batch,) if source.kind == "torch" else ((batch,),)  # The network of Keras takes *args.
    with torch.no_grad():
        return torch.export.export(model, (example.contiguous(),), dynamic_shapes=shapes, strict=False)


def _from_torch(source: Source, wanted: Wanted) -> str:
    import torch

    torch.export.save(exported(source), wanted.artifact)
    return "torch.export, any batch"


def _open(artifact: str) -> Any:
    import torch

    return torch.export.load(artifact).module()


FORMAT = Format(
    runtime="PyTorch, CPU",
    suffix=".pt2",
    example="run_torch_export.py",
    exporters={kind: Exporter(_from_torch) for kind in ("torch", "keras-torch")},
    answer=module_runtime(_open),
    packages=("torch.export.pt2_archive._package",),  # What loads it, which it would import only then.
)
