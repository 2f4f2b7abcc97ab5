"""Export formats: a literal table, one file each. A file holds the exporter and the runtime of its format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

FORMATS: dict[str, str] = {
    "litert": "bench.export.litert",
    "onnx": "bench.export.onnx",
    "savedmodel": "bench.export.savedmodel",
    "torchscript": "bench.export.torchscript",
}


class Exporter(NamedTuple):
    """How a format is made from one kind of source: `export(model, example, artifact)` returns the method it used.

    `packages` must be installed for it, by import name.
    """

    export: Callable[[Any, Any, Path], str]
    packages: tuple[str, ...] = ()
