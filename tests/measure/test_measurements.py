"""Each measurement in full, on real digits with real models, in the worker's own words."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import numpy as np
import pytest

from bench.data.read import read_dataset
from bench.errors import JobError
from bench.frameworks.pytorch import TorchTrial
from bench.frameworks.trial import Request
from bench.measure.accuracy import measure
from bench.measure.context import Context
from bench.measure.memory import peak_resident_bytes, reset_resident_peak
from bench.measure.nvml import DeviceMemory
from bench.measure.turns import Turns
from bench.plan.cell import Job
from bench.records.accuracy import Accuracy
from bench.records.record import Build, Inference, Memory, Outcome, Training
from bench.run.launcher import Isolation, Launcher

MakeJob = Callable[..., Job]
Execute = Callable[[Job], Outcome]
BOTH = pytest.mark.parametrize("framework", ["torchvision", "timm"])


@BOTH
def test_training_times_steps_that_train(make_job: MakeJob, execute_here: Execute, framework: str):
    outcome = execute_here(make_job("training", framework=framework, architecture="resnet18"))
    assert outcome.status == "ok", outcome.reason
    figures = outcome.figures
    assert isinstance(figures, Training)
    assert figures.last_loss < figures.first_loss
    loader = figures.loader
    assert 0 < loader.wait_seconds < loader.total_seconds
    assert len(loader.blocks) == 3
    assert all(len(block.step_seconds) == len(block.wait_seconds) == block.steps for block in loader.blocks)
    waits = [pair for block in loader.blocks for pair in zip(block.wait_seconds, block.step_seconds, strict=True)]
    assert all(0 < wait < whole for wait, whole in waits)
    assert loader.steps == len(waits)
    assert loader.total_seconds == pytest.approx(sum(whole for _, whole in waits))
    assert 0 < (loader.first_wait_seconds or 0) < (loader.first_step_seconds or 0)
    assert figures.first_step_seconds > 0
    assert figures.compile_seconds is None
    assert len(figures.resident.block_seconds) == 3


def test_a_loader_of_very_many_steps_keeps_sums_of_neighbours(make_job: MakeJob, execute_here: Execute):
    figures = execute_here(make_job("training", training_block_seconds=0.3)).figures
    assert isinstance(figures, Training)
    assert figures.loader.steps > 150
    for block in figures.loader.blocks:
        assert 25 <= len(block.step_seconds) == len(block.wait_seconds) <= 50


def test_a_loader_that_keeps_up_takes_as_many_steps_as_resident_batches(make_job: MakeJob, execute_here: Execute):
    """Steps that a device only queues would else be far more than it does in a block's time."""
    figures = execute_here(make_job("training", architecture="fake/slow", training_block_seconds=0.1)).figures
    assert isinstance(figures, Training)
    assert {block.steps for block in figures.loader.blocks} == {figures.resident.steps_per_block}


def test_a_step_that_trains_nothing_is_no_step(
    make_job: MakeJob, execute_here: Execute, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bench.frameworks.pytorch_optimization.optimizer", _frozen)
    outcome = execute_here(make_job("training", framework="timm", architecture="vit_b_16"))
    assert outcome.status == "diverged"
    assert outcome.figures is None


def _frozen(weights: list[Any], recipe: object, rate: float) -> object:
    import torch

    return torch.optim.AdamW(weights, lr=0.0, weight_decay=0.0, fused=True)


def test_a_batch_larger_than_the_training_split_is_timed_too(make_job: MakeJob, execute_here: Execute):
    outcome = execute_here(make_job("training", architecture="fake/well", batch_size=2000))
    assert outcome.status == "ok", outcome.reason


@BOTH
def test_inference_has_rates_and_single_requests(make_job: MakeJob, execute_here: Execute, framework: str):
    figures = execute_here(make_job("inference", framework=framework, architecture="mobilenet_v3_small")).figures
    assert isinstance(figures, Inference)
    assert len(figures.latency_seconds) == 20
    assert len(figures.latency_warmup_seconds) == 10
    assert sum(figures.latency_group_sizes) == 20
    assert len(figures.latency_begun_seconds) == len(figures.latency_group_sizes)
    assert figures.resident.images_per_second(16) > 0


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_memory_grows_with_training_and_with_the_model(make_job: MakeJob, tmp_path: Path, isolation: Isolation):
    found = {}
    with Launcher(isolation) as launcher:
        for architecture in ("mobilenet_v3_small", "resnet50"):
            job = make_job("memory", framework="timm", architecture=architecture)
            figures = launcher.launch(job, tmp_path / "log").outcome.figures
            assert isinstance(figures, Memory)
            assert figures.training.allocated_bytes is None, "the CPU's allocator does not count"
            assert figures.training.resident_bytes >= figures.inference.resident_bytes >= 0
            found[architecture] = figures.training.resident_bytes
    assert found["resnet50"] > found["mobilenet_v3_small"]
    assert found["resnet50"] > 23.5e6 * 4 * 3, "weights, gradients and Adam's two moments are more than three copies"


def test_what_making_the_images_took_for_a_moment_is_not_taken_from_the_models_memory():
    before = reset_resident_peak()
    transient = np.ones(2**28, np.uint8)
    del transient
    assert peak_resident_bytes() - before > 2**27
    assert reset_resident_peak() - before < 2**26
    assert peak_resident_bytes() - before < 2**26


def test_a_model_in_memory_that_was_freed_but_not_given_back_counts_as_any_other():
    """Small arrays lie in the allocator's heap, which the last of them, kept, holds up when the others are freed."""
    arrays = [np.ones(2**16, np.uint8) for _ in range(2**12)]
    del arrays[:-1]
    before = reset_resident_peak()
    arrays.extend(np.ones(2**16, np.uint8) for _ in range(2**12))
    assert peak_resident_bytes() - before > 2**27


@pytest.mark.parametrize(
    ("processes", "used", "grown"),
    [
        ((0, 1, 1), (5, 7, 9), (2, 4)),
        ((None, None, None), (5, 7, 9), (2, 4)),
        ((1, 2, 2), (5, 7, 9), (None, None)),
        ((0, 1, 2), (5, 7, 9), (2, None)),
        ((0, 0, 0), (5, 3, 9), (None, 4)),
    ],
    ids=["alone", "nobody is listed", "somebody was there", "somebody came", "somebody unseen left"],
)
def test_a_devices_growth_is_told_only_of_one_that_nobody_else_uses(
    make_job: MakeJob,
    execute_here: Execute,
    monkeypatch: pytest.MonkeyPatch,
    processes: tuple[int | None, ...],
    used: tuple[int, ...],
    grown: tuple[int | None, int | None],
):
    said = iter(map(DeviceMemory, used, processes))
    monkeypatch.setattr("bench.measure.memory.device_memory", lambda device: next(said))
    figures = execute_here(make_job("memory")).figures
    assert isinstance(figures, Memory)
    assert (figures.inference.device_bytes, figures.training.device_bytes) == grown


def test_build_counts_parameters_and_operations(make_job: MakeJob, execute_here: Execute):
    figures = execute_here(make_job("build", framework="timm", architecture="resnet18")).figures
    assert isinstance(figures, Build)
    assert figures.parameters == 11_181_642, "11,689,512 less a head for 1,000 classes and more one for 10"
    assert figures.build_seconds > 0


@pytest.mark.parametrize(("framework", "precision"), [("torchvision", "fp32"), ("timm", "amp-bf16")])
def test_a_short_training_learns_digits(make_job: MakeJob, execute_here: Execute, framework: str, precision: str):
    job = make_job(
        "accuracy", framework=framework, architecture="resnet18", batch_size=64, epochs=5, precision=precision
    )
    figures = execute_here(job).figures
    assert isinstance(figures, Accuracy)
    assert figures.test_top1 > 0.9
    assert (figures.test_top5 or 0) > figures.test_top1
    assert figures.epochs[-1].training_loss < figures.epochs[0].training_loss
    elapsed = [epoch.elapsed_seconds for epoch in figures.epochs]
    assert elapsed == sorted(elapsed)
    assert (figures.training_images, figures.validation_images, figures.test_images) == (1077, 180, 540)


def test_the_epoch_is_chosen_on_validation_its_weights_are_kept_and_test_is_seen_once(make_job: MakeJob):
    """Validation labels are turned so that the untrained epoch is best on them: a choice on test would take the last."""
    from bench.frameworks.timm import build

    job = make_job("accuracy", framework="timm", architecture="resnet18", batch_size=64, epochs=3)
    dataset = read_dataset("digits", 32)
    dataset.validation.labels = (dataset.validation.labels + 5) % 10
    assert job.model is not None
    request = Request(cell=job.cell, model=job.model, recipe=job.recipe, classes=10, seed=0, threads=2)
    trial = build(request)
    seen: list[int] = []
    answers = TorchTrial.logits

    def logits(split: object) -> np.ndarray:
        seen.append(len(split))  # type: ignore[arg-type]
        return answers(trial, split)  # type: ignore[arg-type]

    trial.logits = logits  # type: ignore[method-assign]
    figures = measure(Context(job, dataset, 2, lambda: trial, Turns(None)))
    scores = [epoch.validation_score for epoch in figures.epochs]
    assert figures.best_epoch == len(scores) - scores[::-1].index(max(scores)) < 3
    assert seen == [180, 180, 180, 540]
    again = TorchTrial.logits(trial, dataset.validation)
    assert float(np.mean(again.argmax(axis=1) == dataset.validation.labels)) == pytest.approx(max(scores))


def test_a_loss_that_is_not_finite_is_told_with_its_epoch(make_job: MakeJob, execute_here: Execute):
    outcome = execute_here(make_job("accuracy", architecture="fake/nan"))
    assert outcome.status == "diverged"
    assert outcome.reason is not None
    assert outcome.reason.startswith("the training loss is nan from batch 1 of epoch 1 on; with the weights that it")
    assert "gradients are finite and reach every weight" in outcome.reason


def test_images_in_two_splits_are_counted_and_wrong_labels_end_an_accuracy(
    make_job: MakeJob, execute_here: Execute, write_image: Callable[[Path, int], None], tmp_path: Path
):
    for number in range(48):
        part, label = ("train", "val", "test")[number // 16], ("cat", "dog")[number % 2]
        write_image(tmp_path / part / label / f"{number}.png", 5 * number)
    job = make_job("accuracy", dataset=f"folder:{tmp_path}")
    assert execute_here(job).figures.overlapping_images == 0  # type: ignore[union-attr]
    shutil.copy(tmp_path / "train" / "cat" / "0.png", tmp_path / "test" / "cat" / "again.png")
    assert execute_here(job).figures.overlapping_images == 1  # type: ignore[union-attr]
    dataset = read_dataset("digits", 32)
    dataset.validation.labels = dataset.validation.labels + 1
    with pytest.raises(JobError, match=r"validation: the label of .* is 10, not in"):
        measure(Context(job, dataset, 2, Mock(), Turns(None)))


def test_batch_norm_that_keeps_its_old_statistics_answers_at_chance(make_job: MakeJob, execute_here: Execute):
    """Why the baseline sets batch_norm_momentum: torchvision's MobileNetV3 with its own 0.01, and with the recipe's 0.1."""
    found = {}
    for momentum in (0.1, None):
        job = make_job("accuracy", framework="torchvision", architecture="mobilenet_v3_small", batch_size=64, epochs=5)
        job = msgspec.structs.replace(job, recipe=msgspec.structs.replace(job.recipe, batch_norm_momentum=momentum))
        figures = execute_here(job).figures
        assert isinstance(figures, Accuracy)
        assert figures.epochs[-1].training_loss < 1.5, "both train"
        found[momentum] = figures.test_top1
    assert found[None] < 0.3 < 0.6 < found[0.1]
