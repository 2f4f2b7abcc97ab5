"""From NVML to flags and joules: a played GPU heats, is capped, shared or miscounts while jobs of the fake framework run."""

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from played_nvml import PlayedGpu

from bench.measure import energy as energy_module
from bench.measure.energy import Energy
from bench.measure.telemetry import Sampler
from bench.plan.cell import Job
from bench.records.environment import environment
from bench.records.flags import flags, throttled
from bench.records.rates import blocks_energy, joules_per_image
from bench.records.record import Record
from bench.records.store import latest, read_file
from bench.run import launcher as launcher_module
from bench.run import runner as runner_module
from bench.run.launcher import Launcher
from bench.run.progress import Progress
from bench.run.runner import COOLING_SECONDS, TRIES, Run, run_jobs

MakeJob = Callable[..., Job]
COOL, HOT = 40.0, 90.0
THERMAL, POWER_CAP = 0x40, 0x4


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedGpu]:
    """Yield the GPU that NVML shows here, sampled fifty times a second."""
    played = PlayedGpu()
    monkeypatch.setitem(sys.modules, "pynvml", played.module())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    class Watching(Sampler):
        def job_begins(self) -> None:
            super().job_begins()
            played.working = True

        def __exit__(self, *error: Any) -> None:
            played.working = False
            super().__exit__(*error)

    monkeypatch.setattr(launcher_module, "Sampler", partial(Watching, interval_seconds=0.02))
    monkeypatch.setattr(launcher_module, "IDLE_SECONDS", 0.2)
    environment.cache_clear()
    yield played
    environment.cache_clear()


@pytest.fixture
def cooling(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the seconds that the runner waits for a GPU to cool; they go by at once."""
    slept: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(slept), sleep=slept.append)
    monkeypatch.setattr(runner_module, "time", clock)
    return slept


def measured(make_job: MakeJob, folder: Path, measurement: str = "inference", **changes: object) -> list[Record]:
    """Return every record of a run of one job on the played GPU."""
    values = {"inference_block_seconds": 0.1, "training_block_seconds": 0.1, "blocks": 4} | changes
    job = make_job(measurement, device="cuda", **values)
    run = Run(file=folder / "run.jsonl", matrix_hash="", isolation="fork", time_budget_seconds=None)
    with Progress() as progress:
        run_jobs([job], run, progress)
    return read_file(run.file)


def heats(gpu: PlayedGpu, cooling: list[float], fan_after_seconds: float) -> None:
    """Let a job make the GPU hot and slow, and let it stay so until the runner has waited so long for it."""

    def sampled() -> None:
        if len(cooling) >= fan_after_seconds:
            gpu.celsius, gpu.mhz, gpu.reasons = COOL, 1900.0, 0
        elif gpu.working:
            gpu.celsius, gpu.mhz, gpu.reasons = HOT, 1100.0, THERMAL
            gpu.thermal_seconds += 0.02

    gpu.sampled = sampled  # type: ignore[method-assign]


def test_a_job_on_a_hot_gpu_is_tried_again_once_it_has_cooled_and_the_last_try_counts(
    gpu: PlayedGpu, cooling: list[float], make_job: MakeJob, tmp_path: Path
):
    heats(gpu, cooling, fan_after_seconds=5)
    hot, cool = measured(make_job, tmp_path)
    said = str(throttled(hot))
    assert "slowed by heat" in said
    assert "thermal violations" in said
    assert "of the highest clock" in said
    assert throttled(cool) is None
    assert len(cooling) == 5, "it waits until the GPU is as cool as before"
    assert latest([hot, cool]) == [cool]
    assert hot.log != cool.log
    assert all((tmp_path / str(record.log)).exists() for record in (hot, cool))
    assert "throttled" in flags([hot])
    assert "throttled" not in flags([cool])


def test_a_gpu_that_stays_hot_gets_three_tries_and_no_rest_after_the_last(
    gpu: PlayedGpu, cooling: list[float], make_job: MakeJob, tmp_path: Path
):
    heats(gpu, cooling, fan_after_seconds=1e9)
    tried = measured(make_job, tmp_path)
    assert len(tried) == TRIES
    assert all(map(throttled, tried))
    assert len({record.log for record in tried}) == TRIES
    assert len(cooling) == pytest.approx((TRIES - 1) * COOLING_SECONDS, abs=2)


def test_an_accuracy_is_not_trained_again_for_its_seconds(
    gpu: PlayedGpu, cooling: list[float], make_job: MakeJob, tmp_path: Path
):
    gpu.reasons = THERMAL
    (only,) = measured(make_job, tmp_path, "accuracy", epochs=2)
    assert "throttled" in flags([only])
    assert cooling == []


def test_a_power_cap_is_told_as_its_share_of_the_time_and_repeats_nothing(
    gpu: PlayedGpu, cooling: list[float], make_job: MakeJob, tmp_path: Path
):
    def sampled() -> None:
        gpu.reasons ^= POWER_CAP

    gpu.sampled = sampled  # type: ignore[method-assign]
    (only,) = measured(make_job, tmp_path)
    share = float(flags([only])["power_capped"].partition("%")[0])
    assert 30 < share < 70
    assert cooling == []


def test_a_foreign_process_is_company_and_the_sides_of_a_comparison_are_not(
    gpu: PlayedGpu, make_job: MakeJob, tmp_path: Path
):
    jobs = [
        msgspec.structs.replace(make_job("inference", device="cuda", blocks=4, inference_block_seconds=0.1), side=side)
        for side in ("a", "b", "a-again")
    ]
    for strangers in (0, 1):
        (example,) = measured(make_job, tmp_path / str(strangers))
        with Launcher("fork") as launcher:
            alive = partial(_alive, launcher)
            gpu.processes = lambda alive=alive, strangers=strangers: alive() + strangers  # type: ignore[method-assign]
            launched = launcher.launch_together([(job, tmp_path / str(job.side)) for job in jobs])
        gpu.processes = lambda: 0  # type: ignore[method-assign]
        for one in launched:
            record = msgspec.structs.replace(example, figures=one.outcome.figures, telemetry=one.telemetry)
            assert one.telemetry is not None
            assert max(one.telemetry.values("gpu_processes")) == 3 + strangers
            said = flags([record]).get("unstable", "")
            assert ("another process on the device" in said) is bool(strangers)


def _alive(launcher: Launcher) -> int:
    return sum(server.job is not None for server in launcher._servers.values())


@pytest.mark.parametrize("counter", ["counts", "stands still", "wraps"])
def test_joules_come_from_the_counter_or_where_it_miscounts_from_the_power(
    gpu: PlayedGpu, make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counter: str
):
    monkeypatch.setattr(energy_module, "SHORTEST_SECONDS", 0.1)
    monkeypatch.setattr(energy_module, "_SHORTEST_IDLE_SECONDS", 0.05)
    true = gpu.joules
    if counter != "counts":
        still = {"stands still": lambda: 5e6, "wraps": lambda: true() % 10}[counter]
        gpu.joules = still  # type: ignore[method-assign]
    (only,) = measured(make_job, tmp_path)
    found = blocks_energy(only)
    assert isinstance(found, Energy), found
    assert found.method == ("counter" if counter == "counts" else "sampled power")
    timed = only.figures.resident  # type: ignore[union-attr]
    seconds = timed.begun_seconds[-1] + timed.block_seconds[-1] - timed.begun_seconds[0]
    assert found.gross_joules == pytest.approx(300.0 * seconds, rel=0.05)
    assert found.net_joules == pytest.approx(0.0, abs=0.05 * found.gross_joules), "it takes as much at rest"
    images = 16 * timed.steps_per_block * len(timed.block_seconds)
    assert joules_per_image(only, "gross") == pytest.approx(found.gross_joules / images)
