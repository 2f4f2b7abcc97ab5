"""Lints find each a mistake that was put in, and nothing in results that are right."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import committed_results

from bench.measure.telemetry import Telemetry
from bench.plan.recipe import recipe
from bench.records.accuracy import Accuracy
from bench.records.environment import Gpu
from bench.records.record import Export, Inference, Record, Training
from bench.records.store import read_file
from bench.report.lint import lint

RunBench = Callable[..., subprocess.CompletedProcess[str]]
FIXTURE = Path(__file__).parents[1] / "records" / "schema-1.jsonl"
replace = msgspec.structs.replace


def first(kind: type) -> Record:
    return next(r for r in read_file(FIXTURE) if isinstance(r.figures, kind))


def changed(kind: type, **figures: Any) -> Record:
    record = first(kind)
    return replace(record, figures=replace(record.figures, **figures))


def unlearned(kind: type) -> list[Record]:
    timed, accuracy = first(kind), changed(Accuracy, test_top1=61 / 540)
    return [timed, replace(accuracy, cell=timed.cell)]


def elsewhere(record: Record, **environment: Any) -> Record:
    return replace(record, environment=replace(record.environment, **environment))


def begun(kind: type, factor: float = 1.0, side: Any = None, shift: float = 0.0) -> Record:
    """Return a record whose blocks began every second and took one, times a factor."""
    record = first(kind)
    moments = tuple(10.0 + shift + n for n in range(5))
    blocks = replace(record.figures.resident, block_seconds=(0.999 * factor,) * 5, begun_seconds=moments)
    return replace(record, side=side, figures=replace(record.figures, resident=blocks), wall_seconds=60.0)


def busy(cpus: float) -> Record:
    telemetry = replace(powered(600.0).telemetry, series={"cpu_job_cpus": (cpus,) * 40})
    return replace(first(Training), telemetry=telemetry)


def powered(watts: float) -> Record:
    """Return a training of twelve seconds on a GPU limited to 700 W, whose energy counter grew by so much."""
    record = first(Training)
    blocks = replace(
        record.figures.resident, block_seconds=(1.0,) * 12, begun_seconds=tuple(10.0 + n for n in range(12))
    )
    telemetry = Telemetry(
        begun_seconds=8.0,
        idle_seconds=1.0,
        elapsed_seconds=tuple(number / 2 for number in range(40)),
        series={"gpu_energy_joules": tuple(watts * number / 2 for number in range(40))},
        missing={},
        cost_seconds=0.0,
    )
    gpu = Gpu(
        name="NVIDIA H200",
        memory_bytes=None,
        power_limit_watts=700.0,
        sm_clock_maximum_mhz=None,
        memory_clock_maximum_mhz=None,
        ecc=None,
    )
    return replace(
        record,
        cell=replace(record.cell, device="cuda"),
        figures=replace(record.figures, resident=blocks),
        environment=replace(record.environment, gpus=(gpu,), driver="580.1", cuda="13.0", dirty=False),
        telemetry=telemetry,
        wall_seconds=60.0,
    )


def on_second_gpu(watts: float, first_limit: float, second_limit: float) -> Record:
    """Return what `powered` does, on the second of two GPUs."""
    record = powered(watts)
    (gpu,) = record.environment.gpus
    gpus = tuple(replace(gpu, power_limit_watts=limit) for limit in (first_limit, second_limit))
    return elsewhere(replace(record, cell=replace(record.cell, device="cuda:1")), gpus=gpus)


def diverged(kind: type) -> list[Record]:
    timed, accuracy = first(kind), first(Accuracy)
    return [timed, replace(accuracy, cell=timed.cell, status="diverged", reason="the loss is nan", figures=None)]


def lints(*records: Record) -> set[str]:
    """Return the lints that find something, but for the tree with changes that the fixture was measured from."""
    return {finding.lint for finding in lint([elsewhere(record, dirty=False) for record in records])}


@pytest.mark.parametrize("kind", [Training, Inference, Accuracy, Export])
def test_what_is_right_is_no_finding(kind: type):
    assert lints(first(kind)) == set()


def test_with_several_labels_an_equal_answer_is_a_share_of_images_and_labels():
    one = changed(Export, top1_agreement=0.999)
    several, single = (replace(one, recipe=recipe(name)) for name in ("multilabel", "baseline"))
    assert lints(single) == lints(one) == {"share"}
    assert lints(several) == set()


def test_power_within_the_limit_is_no_finding():
    assert lints(powered(690.0)) == set()
    assert lints(on_second_gpu(690.0, first_limit=300.0, second_limit=700.0)) == set()


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("tail", [replace(changed(Inference, latency_seconds=(0.001,) * 195 + (1.0,) * 5), wall_seconds=60.0)]),
        ("time", [replace(first(Training), wall_seconds=0.001)]),
        ("share", [changed(Accuracy, test_top1=0.99, test_top5=0.9)]),
        ("share", [changed(Accuracy, test_top1=0.9123)]),
        ("environment", [elsewhere(first(Training), packages={})]),
        ("void", unlearned(Training)),
        ("void", unlearned(Inference)),
        ("void", diverged(Training)),
        ("power", [powered(900.0)]),
        ("power", [on_second_gpu(690.0, first_limit=700.0, second_limit=300.0)]),
        ("gaps", [begun(Training, factor=0.5)]),
        ("gaps", [begun(Inference, factor=0.5)]),
        ("turns", [begun(Training, factor=2.0)]),
        ("turns", [begun(Training, 0.5, "a"), begun(Training, 0.5, "b", shift=0.4)]),
        ("devices", [elsewhere(replace(powered(600.0), cell=replace(first(Training).cell, device="cuda:1")))]),
        ("devices", [replace(first(Training), in_force={"threads": 999})]),
        ("devices", [busy(999.0)]),
    ],
)
def test_each_lint_finds_its_mistake_and_no_other_does(name: str, records: list[Record]):
    assert lints(*records) == {name}


def test_blocks_in_turns_have_gaps_and_do_not_overlap():
    assert lints(begun(Training)) == set()
    assert lints(begun(Training, 0.5, "a"), begun(Training, 0.5, "b", shift=0.5)) == set()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"packages": {}}, "the environment lacks packages"),
        ({"cpu": ""}, "the environment lacks cpu"),
        ({"dirty": True}, "measured from a tree with changes that no commit holds"),
    ],
)
def test_what_an_environment_lacks_is_named(changes: dict[str, Any], said: str):
    (found,) = lint([elsewhere(first(Training), **({"dirty": False} | changes))])
    assert (found.lint, found.said) == ("environment", said)


def test_children_that_end_at_once_keep_no_more_processors_busy_than_there_are():
    record = busy(0.0)
    spike = 1.3 * record.environment.cpu_cores_logical
    telemetry = replace(record.telemetry, series={"cpu_job_cpus": (0.6, 0.6, spike, None, 0.2)})
    assert lints(replace(record, telemetry=telemetry)) == set()


@pytest.mark.parametrize("file", committed_results(), ids=lambda file: file.stem)
def test_committed_results_are_clean(file: Path):
    assert lint(read_file(file)) == ()


def test_the_command_exits_1_with_what_it_found(tmp_path: Path, run_bench: RunBench):
    right, wrong = tmp_path / "right.jsonl", tmp_path / "wrong.jsonl"
    right.write_bytes(committed_results()[0].read_bytes())
    wrong.write_bytes(msgspec.json.encode(replace(first(Training), wall_seconds=0.001)) + b"\n")
    assert run_bench("lint", str(right)).returncode == 0
    found = run_bench("lint", str(wrong))
    assert found.returncode == 1
    assert "timed work in a job of 0.0 s" in found.stdout
