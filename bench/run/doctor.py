"""What `bench doctor` measures: every network in every framework, and what the device can do at most."""

import sys

from bench.plan.cards import model_names
from bench.report.ceilings import table
from bench.report.parity import tables
from bench.report.table import show
from bench.run.ceilings import measure
from bench.run.command import resolve_device
from bench.run.launcher import Launcher
from bench.run.parity import build_all, differences


def parity() -> int:
    """Print the frameworks' networks side by side; return 1 where one could not be built or differs undeclared."""

    def begin(architecture: str, framework: str) -> None:
        print(f"{architecture} in {framework}", file=sys.stderr, flush=True)

    with Launcher("fork") as launcher:
        built = build_all(model_names(), launcher, begin)
    found = list(differences(built))
    for shown in tables(built, found):
        show(shown)
    as_declared = not any(one.wrong for one in found)
    return 0 if built and as_declared and all(one.traits for one in built) else 1


def ceilings(device: str) -> int:
    """Print what a device can do at most; return 1 where it could not be measured."""
    outcome = measure(resolve_device(device))
    found = table(outcome)
    if found is None:
        print(f"bench: {outcome.status}: {outcome.reason}", file=sys.stderr)
        return 1
    show(found)
    return 0
