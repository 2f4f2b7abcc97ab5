"""Rates, and what was seen while they were timed, follow from the raw samples."""

import math
from pathlib import Path

import msgspec
import pytest
from conftest import with_requests

from bench.measure.telemetry import Telemetry
from bench.measure.timing import Blocks
from bench.records.accuracy import Accuracy
from bench.records.rates import busy_elsewhere, log_ratio, reference, sm_mhz, speeds, timed_windows, while_timed
from bench.records.record import Ceiling, Ceilings, Export, Inference, LoaderBlock, LoaderTiming, Record, Training
from bench.records.store import read_file
from bench.report.tables import tables

FIXTURE = Path(__file__).parent / "schema-1.jsonl"
LOADER = "training from the loader"
replace = msgspec.structs.replace


def first(kind: type) -> Record:
    return next(record for record in read_file(FIXTURE) if isinstance(record.figures, kind))


def loaded(*seconds: float, steps: int = 2) -> Record:
    """Return a training whose loader's blocks of so many equal steps took so long, ten seconds from one to the next."""
    record = first(Training)
    blocks = tuple(
        LoaderBlock(
            begun_seconds=100.0 + 10 * number,
            steps=steps,
            step_seconds=(took / steps,) * steps,
            wait_seconds=(0.0,) * steps,
        )
        for number, took in enumerate(seconds)
    )
    loader = LoaderTiming(first_step_seconds=1.0, first_wait_seconds=0.5, blocks=blocks)
    return replace(record, figures=replace(record.figures, loader=loader))


def every_half_second(**series: tuple[float, ...]) -> Telemetry:
    return Telemetry(
        begun_seconds=100.0,
        idle_seconds=1.0,
        elapsed_seconds=tuple(number / 2 for number in range(81)),
        series=series,
        missing={},
        cost_seconds=0.0,
    )


def test_the_loaders_rate_is_all_images_over_all_time():
    record = loaded(1.0, 3.0)
    assert dict(speeds(record))[LOADER] == pytest.approx((record.batch_size or 0) * 4 / 4.0)


def test_the_loaders_blocks_are_held_against_those_beside_them():
    """B is a tenth faster in every block but one, in which it was interrupted; the sums alone would call it slower."""
    a, b = loaded(1.0, 2.0, 1.0), loaded(1.0 / 1.1, 2.0 / 1.1, 9.0)
    assert math.exp(log_ratio(LOADER, a, b)) == pytest.approx(1.1)
    assert dict(speeds(b))[LOADER] < dict(speeds(a))[LOADER]
    assert math.exp(log_ratio(LOADER, a, loaded(0.5, 1.0, 0.5, steps=1))) == pytest.approx(1.0), "rates, not seconds"


def test_what_is_seen_is_within_what_was_timed():
    record = replace(loaded(1.0, 1.0), telemetry=every_half_second(clock=tuple(range(81))))
    assert timed_windows(record) == [(100.0, 101.0), (110.0, 111.0)]
    assert while_timed(record, "clock", "other") == [{place: place for place in (0, 1, 2, 20, 21, 22)}, {}]
    assert while_timed(record, "other") == while_timed(replace(record, telemetry=None), "clock") == [{}]


def test_the_clock_of_a_quantity_is_that_of_its_own_time():
    clocks = every_half_second(gpu_sm_mhz=tuple(1000.0 + place for place in range(81)))
    trained = replace(loaded(1.0), telemetry=clocks)
    assert isinstance(trained.figures, Training)
    resident = replace(trained.figures.resident, block_seconds=(1.0,), begun_seconds=(120.0,))
    trained = replace(trained, figures=replace(trained.figures, resident=resident))
    assert (sm_mhz(LOADER, trained), sm_mhz("training", trained)) == (1001.0, 1041.0)
    asked = first(Inference)
    assert isinstance(asked.figures, Inference)
    figures = replace(
        asked.figures,
        resident=resident,
        latency_seconds=(0.5, 0.5),
        latency_begun_seconds=(110.0,),
        latency_group_sizes=(2,),
    )
    asked = replace(asked, figures=figures, telemetry=clocks)
    assert (sm_mhz("latency p50", asked), sm_mhz("inference", asked)) == (1021.0, 1041.0)
    unknown = replace(asked, figures=replace(figures, latency_begun_seconds=()))
    assert sm_mhz("latency p50", unknown) is None, "of an earlier schema nobody knows when"


@pytest.mark.parametrize("kind", [Inference, Export])
def test_groups_of_requests_are_timed_too(kind: type):
    record = first(kind)
    assert isinstance(record.figures, Inference | Export)
    figures = with_requests(
        record.figures,
        latency_seconds=(0.5, 0.5, 2.0),
        latency_begun_seconds=(103.0, 120.0),
        latency_group_sizes=(2, 1),
    )
    assert timed_windows(replace(record, figures=figures)) == [(103.0, 104.0), (120.0, 122.0)]
    assert timed_windows(record) == [], "of an earlier schema nobody knows when"


def test_every_process_of_an_artifact_is_timed_and_its_latency_has_the_clock_of_single_images():
    record = first(Export)
    assert isinstance(record.figures, Export)
    ran = {"latency_seconds": (0.5, 0.5), "latency_group_sizes": (2,)}
    timings = tuple(
        replace(record.figures.main, threads=threads, batch_size=size, latency_begun_seconds=(begun,), **ran)
        for threads, size, begun in ((1, 1, 103.0), (1, 64, 108.0), (2, 1, 113.0), (2, 64, 118.0))
    )
    clocks = every_half_second(gpu_sm_mhz=tuple(1000.0 + place for place in range(81)))
    record = replace(record, figures=replace(record.figures, timings=timings), telemetry=clocks)
    assert timed_windows(record) == [(103.0, 104.0), (108.0, 109.0), (113.0, 114.0), (118.0, 119.0)]
    assert sm_mhz("export:torchscript latency p50", record) == 1027.0


def test_accuracy_is_timed_from_when_its_job_was_asked_for():
    record = replace(first(Accuracy), telemetry=every_half_second(clock=tuple(range(81))))
    (seen,) = while_timed(record, "clock")
    assert list(seen.values()) == list(range(2, 81))


@pytest.mark.parametrize(("busy", "held"), [(1.05, True), (2.0, False)])
def test_no_row_is_held_against_ceilings_that_something_else_lowered(busy: float, held: bool):
    cell = first(Training).cell
    timed = Blocks(warmup_step_seconds=(), steps_per_block=1, block_seconds=(0.001,))
    found = (Ceiling(name="fp32", side=512, operations=2 * 512**3, moved_bytes=None, blocks=timed),)
    record = replace(
        first(Training),
        measurement="ceilings",
        figures=Ceilings(threads=2, found=found),
        telemetry=every_half_second(cpu_busy_cpus=(busy,) * 81, cpu_job_cpus=(1.0,) * 81),
    )
    assert busy_elsewhere(record) == pytest.approx(busy - 1.0)
    assert reference([record]).ceilings == ({(cell.device, "fp32"): 2 * 512**3 / 0.001} if held else {})
    told = [note for table in tables([record]) for note in table.notes if "busy with something else" in note]
    assert bool(told) is not held
