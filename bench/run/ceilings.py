"""Ceilings: what the device can do at most, measured once a run, and for `bench doctor`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.frameworks import FRAMEWORKS, missing_packages
from bench.measure import CEILINGS
from bench.plan.cards import framework_model
from bench.plan.cell import Cell, Job
from bench.plan.protocol import PRESETS, Protocol
from bench.plan.recipe import recipe_for
from bench.records.record import Outcome
from bench.run.launcher import Launcher


def ceilings_job(jobs: Sequence[Job]) -> Job | None:
    """Return the job that measures the device of a run's jobs; None where nothing is timed on one.

    Where what it takes is not installed its row says so, as every other job's.
    """
    timed = [job for job in jobs if job.measurement in ("training", "inference")]
    real = [job for job in timed if FRAMEWORKS[job.cell.framework].ceilings]
    return _job(_framework(), real[0].cell.device, real[0].protocol) if real else None


def measure(device: str) -> Outcome:
    """Measure the ceilings of a device in a process of its own."""
    by = _framework()
    if missing_packages(by):
        return Outcome(status="unavailable", reason=f"not installed: {FRAMEWORKS[by].install}")
    with Launcher("fork") as launcher, tempfile.TemporaryDirectory() as folder:
        return launcher.launch(_job(by, device, PRESETS["standard"]), Path(folder) / "log").outcome


def _framework() -> str:
    """Return the framework whose packages are those that the ceilings are measured with."""
    return next(name for name, framework in FRAMEWORKS.items() if framework.ceilings)


def _job(framework: str, device: str, protocol: Protocol) -> Job:
    """Return the job. No network is built: of the cell only the device is looked at."""
    cell = Cell(
        architecture="resnet18",
        framework=framework,
        precision="fp32",
        execution="eager",
        device=device,
        batch_size=1,
        image_size=32,
        dataset="digits",
        weights="random",
        recipe="baseline",
    )
    return Job(
        cell=cell,
        measurement=CEILINGS,
        process=0,
        seed=0,
        protocol=protocol,
        recipe=recipe_for(cell.recipe, cell.architecture),
        model=framework_model(cell.architecture, framework),
    )
