"""The worker turns whatever a job raises into a status and one line."""

import resource
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import torch._dynamo  # Before any test lowers the memory limit in this process.
from PIL import Image

from bench.errors import Diverged, JobError, Unavailable, reason
from bench.plan.cell import Job
from bench.records.record import Outcome
from bench.run import worker

MakeJob = Callable[..., Job]
Execute = Callable[[Job], Outcome]


def caused() -> Exception:
    """Return an error of a library that says in red that it failed, and in its cause why."""
    error = RuntimeError("\x1b[31mFailed to convert the model\x1b[0m\nmore")
    error.__cause__ = KeyError("no such operator")
    return error


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (Diverged("the loss is nan"), "diverged", "the loss is nan"),
        (Unavailable("put it there"), "unavailable", "put it there"),
        (MemoryError("no more"), "out_of_memory", "MemoryError: no more"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried …\nmore"), "out_of_memory", None),
        (ValueError("first\nsecond"), "failed", "ValueError: first"),
        (PermissionError(13, "Permission denied", "there/it"), "failed", "Permission denied: there/it"),
        (JobError("does not fit:\n  conv1"), "failed", "does not fit: conv1"),
        (caused(), "failed", "KeyError: 'no such operator'; RuntimeError: Failed to convert the model"),
        (ValueError("9" * 400), "failed", f"ValueError: {'9' * 285}..."),
    ],
)
def test_an_exception_is_a_status_and_a_line(error: Exception, status: str, line: str | None):
    assert worker.status("timm", error) == status
    assert line is None or reason(error) == line


def test_torchs_own_words_for_a_full_memory_are_known():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert worker.status("timm", raised.value) == "out_of_memory"


def test_a_batch_beyond_the_memory_limit_is_out_of_memory_and_harms_nobody(
    make_job: MakeJob, execute_here: Execute, monkeypatch: pytest.MonkeyPatch
):
    execute_here(
        make_job("build", framework="timm", architecture="resnet18")
    )  # Starts libgomp's threads: it exits if it cannot.
    monkeypatch.setattr(worker, "MEMORY_SHARE", 0.05)
    outcome = execute_here(
        make_job("training", framework="timm", architecture="resnet50", batch_size=2000, image_size=64)
    )
    assert outcome.status == "out_of_memory", outcome.reason


def test_a_figure_that_is_not_finite_never_reaches_a_file():
    with pytest.raises(JobError, match=r"inference\.samples\.1 is nan"):
        worker._refuse_not_finite({"samples": [1.0, float("nan")]}, "inference")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_decoded_is_named_by_the_row(
    make_job: MakeJob, execute_here: Execute, tmp_path: Path, workers: int
):
    source = np.random.default_rng(0)
    for label in ("cat", "dog"):
        for part in ("train", "val", "test"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(8):
                pixels = source.integers(0, 255, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / label / f"{number}.png")
    job = make_job(
        "accuracy", framework="timm", architecture="resnet18", dataset=f"folder:{tmp_path}", batch_size=4, epochs=1
    )
    job = msgspec.structs.replace(job, recipe=msgspec.structs.replace(job.recipe, loader_workers=workers))
    good = execute_here(job)
    assert good.status == "ok", good.reason
    broken = tmp_path / "train" / "cat" / "3.png"
    broken.write_bytes(b"no image")
    outcome = execute_here(job)
    assert outcome.status == "failed"
    assert str(outcome.reason).startswith(f"{broken}: cannot be decoded")


def test_the_memory_limit_is_set_for_the_cpu_alone(make_job: MakeJob, execute_here: Execute):
    before = resource.getrlimit(resource.RLIMIT_DATA)[0]
    execute_here(make_job("build", device="cuda"))
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == before
    execute_here(make_job("build"))
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] != before


def test_the_row_of_a_checkpoint_that_does_not_fit_names_the_file_and_a_tensor(
    make_job: MakeJob, execute_here: Execute, tmp_path: Path
):
    import timm
    from safetensors.torch import save_file

    file = tmp_path / "another.safetensors"
    save_file({n: t.contiguous() for n, t in timm.create_model("resnet34").state_dict().items()}, file)
    outcome = execute_here(make_job("build", framework="timm", architecture="resnet50", weights=str(file)))
    assert outcome.status == "failed"
    assert f"{file}: does not fit this model" in str(outcome.reason)
    assert "conv1.weight" in str(outcome.reason)


@pytest.mark.parametrize(
    "message",
    [
        "torch.AcceleratorError: CUDA error: out of memory",
        "builtins.RuntimeError: CUDA out of memory. Tried to allocate 2 GiB",
        "builtins.RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)",
        "torch.OutOfMemoryError: HIP or CUDA",
    ],
)
def test_what_cuda_says_when_memory_runs_out_is_out_of_memory(message: str):
    module, _, text = message.partition(": ")
    package, _, name = module.rpartition(".")
    error = type(name, (Exception,), {"__module__": package})(text)
    assert worker.status("timm", error) == "out_of_memory"
