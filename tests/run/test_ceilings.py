"""The device's ceilings: measured once a run, shown, and what rows are held against."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bench.measure import CEILINGS
from bench.measure.timing import Blocks
from bench.plan import refusal
from bench.plan.cell import Job
from bench.records.rates import of_ceiling, reference
from bench.records.record import Build, Ceiling, Ceilings, Record, Training
from bench.records.store import read_file
from bench.report.lint import lint
from bench.report.tables import tables
from bench.run.ceilings import ceilings_job
from bench.run.progress import Progress
from bench.run.runner import Run, run_jobs

RunBench = Callable[..., subprocess.CompletedProcess[str]]
FIXTURE = Path(__file__).parents[1] / "records" / "schema-1.jsonl"
replace = msgspec.structs.replace


def product(per_second: float) -> Ceiling:
    blocks = Blocks(warmup_step_seconds=(1.0,), steps_per_block=2, block_seconds=(4.0, 2.0))
    return Ceiling(name="fp32", side=8, operations=round(per_second), moved_bytes=None, blocks=blocks)


def rows(per_second: float) -> list[Record]:
    """Return a training with its model's build, and ceilings of so many operations a second in fp32."""
    records = read_file(FIXTURE)
    training = next(r for r in records if isinstance(r.figures, Training) and r.cell.precision == "fp32")
    build = next(
        r for r in records if isinstance(r.figures, Build) and r.cell.architecture == training.cell.architecture
    )
    build = replace(build, cell=training.cell, figures=replace(build.figures, flops_per_image=1_000_000))
    limits = replace(training, measurement=CEILINGS, figures=Ceilings(threads=2, found=(product(per_second),)))
    return [training, build, limits]


def test_a_ceiling_is_that_of_its_fastest_block():
    assert product(5e9).per_second == 5e9


def test_a_training_step_counts_three_forward_passes():
    training, build, limits = rows(1e12)
    rate = training.figures.resident.images_per_second(training.batch_size)
    assert of_ceiling(training, reference([build, limits])) == pytest.approx(3 * rate * 1e6 / 1e12)
    assert of_ceiling(training, reference([limits])) is None, "without its operations there is no share"
    assert of_ceiling(training, reference([build])) is None


def test_the_table_shows_the_share_and_the_ceilings():
    found = {table.title: table for table in tables(rows(1e12))}
    training = next(table for title, table in found.items() if title.startswith("Training and accuracy"))
    assert training.rows[0][training.columns.index("Of the ceiling")].endswith("%")
    limits = found["What the device can do at most: on cpu"]
    assert limits.rows == (("fp32", "8", "1,000", "–"),)


def test_more_than_the_ceiling_is_found_by_lint():
    assert "beyond" not in {finding.lint for finding in lint(rows(1e12))}
    assert "beyond" in {finding.lint for finding in lint(rows(1e6))}


def test_where_nobody_can_measure_the_ceilings_their_row_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, make_job: Callable[..., Job], tmp_path: Path
):
    limits = ceilings_job([make_job("training", architecture="resnet18", framework="keras-jax")])
    assert limits is not None
    monkeypatch.setattr(refusal, "missing_packages", lambda framework: ("torch",))
    run = Run(file=tmp_path / "run.jsonl", matrix_hash="", isolation="fork", time_budget_seconds=None)
    with Progress() as progress:
        run_jobs([limits], run, progress)
    (record,) = read_file(run.file)
    assert (record.measurement, record.status) == (CEILINGS, "unavailable")
    assert "pip install" in str(record.reason)
    assert [table.title for table in tables([record])] == ["Not measured"]
    assert ceilings_job([make_job("training")]) is None, "the fake framework runs on no device"


def test_the_doctor_measures_this_machine(run_bench: RunBench):
    done = run_bench("doctor", "--ceilings", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    lines = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ")]
    found = {name.strip(): (flops.strip(), moved.strip()) for name, _, flops, moved in lines[2:]}
    assert found.keys() == {"fp32", "fp16", "bf16", "memory"}
    assert all(float(figure.replace(",", "")) > 0 for pair in found.values() for figure in pair if figure != "–")


def test_a_gpu_that_is_not_there_is_a_reason_and_a_status(run_bench: RunBench):
    done = run_bench("doctor", "--ceilings", "--device", "cuda:9")
    assert done.returncode == 1
    assert "unavailable" in done.stderr
