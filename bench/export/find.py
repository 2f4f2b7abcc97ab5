"""Finding a format: its file, and what makes it from one kind of source."""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from bench.errors import Unavailable, Unsupported
from bench.export import FORMATS, Exporter
from bench.frameworks.trial import Source

Floats = NDArray[np.float32]
Run = Callable[[Floats], Floats]


class Format(Protocol):
    """A file of this folder.

    RUNTIME names what loads the artifact, PACKAGES what must be installed for that, SUFFIX what the artifact's name ends
    with. EXPORTERS maps the kind of a source to what makes the format from it. `load(artifact, threads)` returns a
    function from normalised pixels to logits.
    """

    RUNTIME: str
    PACKAGES: tuple[str, ...]
    SUFFIX: str
    EXPORTERS: dict[str, Exporter]
    load: Callable[[Path, int], Run]


def find(name: str, kind: str) -> tuple[Format, Exporter]:
    """Return a format and its exporter from one kind of source, with everything imported that they need.

    So nothing is imported while something is timed. Raises `Unsupported` or `Unavailable` where there is none.
    """
    chosen = cast(Format, importlib.import_module(FORMATS[name]))
    exporter = chosen.EXPORTERS.get(kind)
    if exporter is None:
        raise Unsupported(f"{name} cannot be made from a {kind} model")
    needed = (*exporter.packages, *chosen.PACKAGES)
    missing = [package for package in needed if importlib.util.find_spec(package.partition(".")[0]) is None]
    if missing:
        raise Unavailable(f"{', '.join(missing)} not installed: pip install 'imagebench[all]'")
    for package in needed:
        importlib.import_module(package)
    return chosen, exporter


def write(source: Source, name: str, folder: Path) -> Path:
    """Export a model into a folder as model.SUFFIX, and return where it lies."""
    chosen, exporter = find(name, source.kind)
    artifact = folder / f"model{chosen.SUFFIX}"
    exporter.export(source.model, source.example, artifact)
    return artifact
