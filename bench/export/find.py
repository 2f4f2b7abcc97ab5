"""Finding a format, and what makes it from one kind of source."""

import importlib
import importlib.util

from bench.errors import Unavailable, Unsupported
from bench.export import FORMATS
from bench.export.format import Exporter, Format


def find(name: str) -> Format:
    """Return a format by its name."""
    found: Format = importlib.import_module(FORMATS[name]).FORMAT
    return found


def find_made_from(name: str, kind: str) -> Format:
    """Return a format by its name; raise `Unsupported` where nothing makes it from this kind of source."""
    chosen = find(name)
    if kind not in chosen.exporters:
        raise Unsupported(f"{name} cannot be made from a {kind} model, only from {', '.join(chosen.exporters)}")
    return chosen


def find_exporter(name: str, kind: str) -> tuple[Format, Exporter]:
    """Return a format and its exporter from one kind of source, with the packages imported that the exporter names.

    So their imports are not timed. Raises `Unsupported` or `Unavailable` where there is none.
    """
    chosen = find_made_from(name, kind)
    exporter = chosen.exporters[kind]
    needed = dict.fromkeys((*exporter.packages, *chosen.packages))
    missing = [package for package in needed if not _installed(package)]
    if missing:
        raise Unavailable(f"{', '.join(missing)} not installed: {chosen.install}")
    chosen.needs()
    for package in exporter.packages:
        importlib.import_module(package)
    return chosen, exporter


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # What it is a part of is not there.
        return False
