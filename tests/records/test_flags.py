"""Flags follow from the raw evidence: each shows when its evidence is put in, and not without it."""

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import with_requests

from bench.measure.telemetry import Telemetry
from bench.measure.timing import Blocks
from bench.records.accuracy import Accuracy
from bench.records.environment import Gpu
from bench.records.flags import flags, has_two_modes, throttled
from bench.records.record import Export, Inference, Record, Training
from bench.records.store import read_file

FIXTURE = Path(__file__).parent / "schema-1.jsonl"
replace = msgspec.structs.replace
H200 = Gpu(
    name="NVIDIA H200",
    memory_bytes=None,
    power_limit_watts=700.0,
    sm_clock_maximum_mhz=1980,
    memory_clock_maximum_mhz=None,
    ecc=True,
)
CALM = {"gpu_sm_mhz": 1900.0, "gpu_busy_share": 1.0, "gpu_throttle_reasons": 0, "gpu_processes": 1}


def one(rate: float = 1.0, device: str = "cuda", idle_processes: int = 0, **changes: Any) -> Record:
    """Return a training whose steps take 1/rate seconds, with a telemetry that reads the same from start to end."""
    record = next(r for r in read_file(FIXTURE) if isinstance(r.figures, Training))
    assert isinstance(record.figures, Training)
    blocks = Blocks(
        warmup_step_seconds=(1 / rate,) * 20,
        queue_seconds=changes.pop("queue_seconds", (0.5 / rate,)),
        steps_per_block=1,
        block_seconds=(1 / rate,) * 20,
        begun_seconds=tuple(100 + number / rate for number in range(20)),
    )
    blocks = replace(blocks, **{k: changes.pop(k) for k in list(changes) if k in Blocks.__struct_fields__})
    series = {name: (float(value),) * 41 for name, value in (CALM | changes).items() if not isinstance(value, tuple)}
    series |= {name: value for name, value in changes.items() if isinstance(value, tuple)}
    series["gpu_processes"] = (float(idle_processes),) * 5 + series["gpu_processes"][5:]
    telemetry = Telemetry(
        begun_seconds=97.9,
        idle_seconds=2.0,
        elapsed_seconds=tuple(number / 2 for number in range(41)),
        series=series,
        missing={},
        cost_seconds=0.0,
    )
    return replace(
        record,
        figures=replace(record.figures, resident=blocks),
        cell=replace(record.cell, device=device),
        environment=replace(record.environment, gpus=(H200,)),
        protocol=replace(record.protocol, processes_at_most=12),
        telemetry=telemetry,
    )


def test_a_calm_row_of_six_processes_has_no_flag():
    assert flags([one(rate) for rate in (1.0, 1.001, 0.999, 1.002, 0.998, 1.0)]) == {}


@pytest.mark.parametrize(
    ("flag", "changes", "seen"),
    [
        *(("throttled", {"gpu_throttle_reasons": bit}, "heat or a power brake") for bit in (0x8, 0x20, 0x40, 0x80)),
        ("throttled", {"gpu_sm_mhz": 1200.0}, "61% of the highest clock"),
        ("throttled", {"gpu_thermal_violation_seconds": tuple(n / 10 for n in range(41))}, "thermal violations"),
        (
            "throttled",
            {"gpu_reliability_violation_seconds": tuple(n / 10 for n in range(41))},
            "reliability violations",
        ),
        ("power_capped", {"gpu_throttle_reasons": 0x4}, "100% of the time"),
        ("power_capped", {"gpu_throttle_reasons": 0x4, "gpu_sm_mhz": 1200.0}, "100% of the time"),
        ("unstable", {"gpu_processes": 2}, "another process"),
        ("unstable", {"gpu_processes": 4, "job_processes": 3}, "another process"),
        ("unstable", {"idle_processes": 1}, "another process"),
        ("unstable", {"gpu_sm_mhz": (1900.0, 1700.0) * 20 + (1900.0,)}, "the clock spreads"),
        ("unstable", {"block_seconds": tuple(1 + n / 500 for n in range(20))}, "drift by +2.0%"),
        ("unstable", {"block_seconds": (1.0, 1.1, 1.001, 1.101) * 5}, "two modes in 6 of 6"),
        ("unstable", {"cpu_busy_cpus": 2.0, "cpu_job_cpus": 1.2, "device": "cpu"}, "0.8 processors"),
        ("warmup_not_converged", {"warmup_step_seconds": tuple(1 + n / 10 for n in range(20))}, "6 of 6"),
        ("host_bound", {"queue_seconds": (0.99,)}, "99%"),
    ],
)
def test_each_flag_shows_with_what_was_seen(flag: str, changes: dict[str, Any], seen: str):
    found = flags([one(**changes) for _ in range(6)])
    assert found.keys() == {flag}
    assert seen in found[flag]


def test_sides_that_take_turns_are_no_strangers_to_each_other():
    assert flags([one(gpu_processes=3, job_processes=3) for _ in range(6)]) == {}
    leaving = (3.0,) * 20 + (2.0,) * 21
    assert flags([one(gpu_processes=leaving, job_processes=leaving) for _ in range(6)]) == {}


def requests_of(kind: type, begun: float, **series: float) -> Record:
    """Return an inference or an export whose requests began then, five seconds of them, in a telemetry as `one` has."""
    record = next(r for r in read_file(FIXTURE) if isinstance(r.figures, kind))
    assert isinstance(record.figures, Inference | Export)
    figures = with_requests(
        record.figures, latency_seconds=(0.5,) * 10, latency_begun_seconds=(begun,), latency_group_sizes=(10,)
    )
    return replace(one(**series), measurement=record.measurement, figures=figures)


@pytest.mark.parametrize("kind", [Inference, Export])
def test_heat_and_company_are_seen_while_single_requests_are_timed(kind: type):
    seen = flags([requests_of(kind, 105.0, gpu_throttle_reasons=0x40, gpu_processes=2)])
    assert "heat" in seen["throttled"]
    assert "another process" in seen["unstable"]
    before = flags([requests_of(kind, 90.0, gpu_throttle_reasons=0x40, gpu_processes=2)])
    assert "throttled" not in before, "nothing was sampled then"
    assert "another process" not in before.get("unstable", "")
    busy = flags([requests_of(kind, 105.0, cpu_busy_cpus=2.0, cpu_job_cpus=1.0)])
    assert "1.0 processors busy" in busy["unstable"]


def test_company_and_two_modes_are_seen_in_every_process_of_an_artifact():
    record = requests_of(Export, 90.0)
    assert isinstance(record.figures, Export)
    calm = record.figures.main
    later = replace(calm, batch_size=64, latency_begun_seconds=(105.0,))
    busy = requests_of(Export, 90.0, cpu_busy_cpus=2.0, cpu_job_cpus=1.0)
    assert "unstable" not in flags([busy]), "nothing was sampled then"
    seen = flags([replace(busy, figures=replace(record.figures, timings=(calm, later)))])
    assert "1.0 processors busy" in seen["unstable"]
    restless = replace(later, latency_seconds=(0.2, 0.3, 0.201, 0.301) * 5, latency_group_sizes=(20,))
    seen = flags([replace(record, figures=replace(record.figures, timings=(calm, restless)))])
    assert seen["unstable"] == "two modes in 1 of 2 processes"
    faster = replace(later, latency_seconds=tuple(0.3 - n / 100 for n in range(20)), latency_group_sizes=(20,))
    seen = flags([replace(record, figures=replace(record.figures, timings=(calm, faster)))])
    assert seen["unstable"] == "requests drift by up to -39.2% in 1 of 2 processes"


def test_an_accuracys_seconds_carry_what_ran_beside_them_and_no_number_of_processes():
    record = next(r for r in read_file(FIXTURE) if isinstance(r.figures, Accuracy))

    def trained(**series: float) -> Record:
        return replace(one(**series), measurement="accuracy", figures=record.figures)

    assert flags([trained()]) == {}
    assert "0.5 processors busy" in flags([trained(cpu_busy_cpus=2.5, cpu_job_cpus=2.0)])["unstable"]
    assert flags([trained(gpu_throttle_reasons=0x20)]).keys() == {"throttled"}
    assert flags([replace(trained(), telemetry=None)]) == {}
    leaking = replace(trained(), figures=replace(record.figures, overlapping_images=3))
    assert flags([leaking]) == {"splits_overlap": "3 images of validation and test are in an earlier split too"}


def test_the_spread_between_processes_is_told_and_widens_the_interval():
    found = flags([one(rate) for rate in (1.0, 1.05, 0.95, 1.03, 0.97, 1.0)])
    assert found.keys() == {"unstable", "not_converged"}
    assert "processes spread by 3.7%" in found["unstable"]
    assert found["not_converged"].endswith("instead of ±1.0%")


def test_few_processes_are_told_and_convergence_is_not_judged():
    assert flags([one(1.0), one(1.001)]) == {"few_processes": "2, not 6"}
    exports = [record for record in read_file(FIXTURE) if isinstance(record.figures, Export)]
    assert flags(exports[:1])["few_processes"] == "1, not 6"
    assert flags([]) == {}


def test_a_cpu_is_never_host_bound_and_a_gpu_at_rest_not_throttled():
    assert "host_bound" not in flags([one(device="cpu", queue_seconds=(0.99,)) for _ in range(6)])
    assert throttled(one(gpu_sm_mhz=345.0, gpu_busy_share=0.05)) is None
    assert throttled(replace(one(), telemetry=None)) is None


def test_a_clock_is_held_against_the_highest_of_the_gpu_it_is_of():
    slower = replace(H200, sm_clock_maximum_mhz=1410)
    record = one(gpu_sm_mhz=1200.0, device="cuda:1")
    for gpus, is_throttled in (((H200, slower), False), ((slower, H200), True)):
        there = replace(record, environment=replace(record.environment, gpus=gpus))
        assert (throttled(there) is not None) is is_throttled


def test_two_modes_are_seen_and_noise_is_not():
    source = random.Random(0)
    normal = [[source.gauss(1, 0.05) for _ in range(20)] for _ in range(1000)]
    assert sum(map(has_two_modes, normal)) <= 10
    two = [[source.gauss(1, 0.01) + 0.08 * (source.random() < 0.3) for _ in range(40)] for _ in range(200)]
    assert sum(map(has_two_modes, two)) >= 180
    assert not has_two_modes([1.0, 2.0] * 9), "too few to tell"
