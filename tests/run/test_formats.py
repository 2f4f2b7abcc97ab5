"""What an export needs is fetched before a run, and nothing for an export that cannot be."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.plan.cell import Job
from bench.records.record import Outcome
from bench.run import formats, runner
from bench.run.progress import Progress
from bench.run.runner import Run, with_weights_files


def test_nothing_is_fetched_for_what_cannot_be_made_from_a_framework(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("BENCH_ENVIRONMENTS", str(tmp_path / "environments"))
    monkeypatch.setenv("PATH", str(tmp_path))
    jobs = [
        make_job(name, framework=framework)
        for framework in ("timm", "keras-tensorflow")
        for name in ("training", "export:onnx", "export:tfjs")
    ]
    refused = formats.prepare(jobs)
    assert {key: outcome.status for key, outcome in refused.items()} == {
        ("timm", "export:tfjs"): "unsupported",
        ("keras-tensorflow", "export:tfjs"): "unavailable",
    }
    assert refused["timm", "export:tfjs"].reason == "tfjs cannot be made from a torch model, only from keras-tensorflow"
    assert not (tmp_path / "environments").exists()


def test_nothing_is_fetched_for_what_is_measured_already_or_cannot_be_measured_here(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    asked: list[list[str]] = []

    def prepare(jobs: list[Job]) -> dict[tuple[str, str], Outcome]:
        asked.append([job.cell.architecture for job in jobs])
        return {}

    monkeypatch.setattr(runner, "prepare", prepare)
    run = Run(file=tmp_path / "run.jsonl", matrix_hash="", isolation="fork", time_budget_seconds=None)
    here, elsewhere = make_job("build"), make_job("build", framework="timm", architecture="resnet18", precision="fp31")
    for _ in range(2):
        with Progress() as progress:
            runner.run_jobs([here, elsewhere], run, progress)
    assert asked == [["fake/well"], []]


def test_exports_find_the_weights_of_their_cells_accuracy_or_share_what_the_first_has_learned(
    make_job: Callable[..., Job], tmp_path: Path
):
    run = Run(file=tmp_path / "run.jsonl", matrix_hash="", isolation="fork", time_budget_seconds=None)
    names = ("accuracy", "export:onnx", "export:openvino")
    of_accuracy = with_weights_files(
        [make_job(name, framework="timm") for name in names]
        + [make_job(name, framework="timm", process=1, seed=1) for name in names[1:]],
        run,
    )
    assert len({job.weights_file for job in of_accuracy}) == 1
    assert of_accuracy[0].weights_file is not None
    assert {job.learned_file for job in of_accuracy} == {None}
    alone = with_weights_files(
        [make_job(name, framework="timm", image_size=size) for name in names[1:] for size in (32, 64)], run
    )
    assert {job.weights_file for job in alone} == {None}
    small, large, *others = (job.learned_file for job in alone)
    assert others == [small, large]
    assert None is not small != large is not None
    assert with_weights_files([make_job("accuracy"), make_job("training")], run)[0].weights_file is None
