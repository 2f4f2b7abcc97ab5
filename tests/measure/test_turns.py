"""Jobs that take turns run one at a time, and one that dies holds nobody up."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from bench.plan.cell import Job
from bench.records.record import Inference
from bench.run.launcher import Launcher

MakeJob = Callable[..., Job]


def sides(make_job: MakeJob, names: dict[str, str]) -> list[Job]:
    """Return one inference a side, of the fake model that is named for it."""
    return [
        msgspec.structs.replace(make_job("inference", architecture=f"fake/{name}", blocks=5), side=side)
        for side, name in names.items()
    ]


@pytest.fixture(scope="module")
def together():
    with Launcher("fork") as launcher:
        yield launcher


def test_blocks_lie_side_by_side_and_never_upon_each_other(together: Launcher, make_job: MakeJob, tmp_path: Path):
    jobs = sides(make_job, {"a": "well", "b": "slow", "a-again": "well"})
    launched = together.launch_together([(job, tmp_path / str(job.side)) for job in jobs])
    assert [one.outcome.status for one in launched] == ["ok"] * 3
    figures = [one.outcome.figures for one in launched]
    assert all(isinstance(one, Inference) for one in figures)
    windows = sorted(
        (begun, begun + took, side)
        for side, one in enumerate(figures)
        for begun, took in zip(one.resident.begun_seconds, one.resident.block_seconds, strict=True)
    )
    assert len(windows) == 15
    assert all(end <= later for (_, end, _), (later, _, _) in pairwise(windows))
    assert [side for _, _, side in windows] == [0, 1, 2] * 5
    assert all(one.telemetry for one in launched)


def test_training_from_the_loader_takes_turns_too(together: Launcher, make_job: MakeJob, tmp_path: Path):
    jobs = [
        msgspec.structs.replace(make_job("training", architecture=f"fake/{name}"), side=side)
        for side, name in {"a": "well", "b": "slow"}.items()
    ]
    launched = together.launch_together([(job, tmp_path / str(job.side)) for job in jobs])
    figures = [one.outcome.figures for one in launched]
    windows = sorted(
        (block.begun_seconds, block.begun_seconds + sum(block.step_seconds), side)
        for side, one in enumerate(figures)
        for block in one.loader.blocks
    )
    assert [side for _, _, side in windows] == [0, 1] * 3
    assert all(end <= later for (_, end, _), (later, _, _) in pairwise(windows))


@pytest.mark.parametrize("fault", ["crash", "raise"])
def test_one_that_fails_leaves_the_others_their_turns(
    together: Launcher, make_job: MakeJob, tmp_path: Path, fault: str
):
    jobs = sides(make_job, {"a": fault, "b": "well"})
    launched = together.launch_together([(job, tmp_path / str(job.side)) for job in jobs])
    assert [one.outcome.status for one in launched] == ["failed", "ok"]


def test_one_that_hangs_is_killed_at_the_limit_of_its_own_turns(together: Launcher, make_job: MakeJob, tmp_path: Path):
    jobs = [
        msgspec.structs.replace(job, protocol=msgspec.structs.replace(job.protocol, timeout_seconds=3.0))
        for job in sides(make_job, {"a": "hang", "b": "well"})
    ]
    begun = time.monotonic()
    launched = together.launch_together([(job, tmp_path / str(job.side)) for job in jobs])
    assert [one.outcome.status for one in launched] == ["timeout", "ok"]
    assert time.monotonic() - begun < 15
