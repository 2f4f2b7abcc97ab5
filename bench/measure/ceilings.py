"""Ceilings: what the device can do at most, measured by what the framework's table names for it."""

import importlib

from bench.frameworks import FRAMEWORKS
from bench.measure.context import Context
from bench.records.record import Ceilings


def measure(context: Context) -> Ceilings:
    """Return the limits of the cell's device; nothing else of the cell counts."""
    entry = FRAMEWORKS[context.job.cell.framework].ceilings
    assert entry is not None, "the runner asks only who can"
    module, _, name = entry.partition(":")
    found: Ceilings = getattr(importlib.import_module(module), name)(context)
    return found
