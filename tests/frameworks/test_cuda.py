"""On a GPU: precisions are what they say, every framework computes there, memory and energy are counted, exports answer."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_pytorch import build
from torch.nn import functional

from bench.data.read import read_dataset
from bench.export import gate
from bench.frameworks import missing_packages
from bench.measure.energy import energy
from bench.plan.cell import Job
from bench.records.environment import environment
from bench.records.record import Export, Memory, Outcome, Training
from bench.run.launcher import Launched, Launcher

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: nothing here can be checked without one"),
]
MakeJob = Callable[..., Job]
Measure = Callable[..., Launched]


@pytest.fixture
def measure(launcher: Launcher, make_job: MakeJob, tmp_path: Path) -> Measure:
    """Return a function that does a job on the GPU, and skips where what it needs is not installed."""

    def run(measurement: str, **changes: object) -> Launched:
        job = make_job(measurement, **{"device": "cuda", "timeout_seconds": 120.0} | changes)
        missing = missing_packages(job.cell.framework)
        if missing:
            pytest.skip(f"{', '.join(missing)} not installed")
        done = launcher.launch(job, tmp_path / "log")
        if done.outcome.status == "unavailable":
            pytest.skip(str(done.outcome.reason))
        return done

    return run


def succeeded(outcome: Outcome) -> object:
    assert outcome.status == "ok", outcome.reason
    return outcome.figures


@pytest.mark.parametrize("precision", ["fp32", "tf32", "amp-fp16", "amp-bf16", "bf16"])
def test_products_and_convolutions_have_the_precision_they_are_said_to_have(precision: str):
    """The error of one large product, and of one convolution, against float64 tells TF32 and the half types from fp32."""
    trial = build("torchvision", precision=precision, device="cuda")
    generator = torch.Generator("cuda").manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device="cuda", generator=generator)

    a, b, images, kernels = drawn(1024, 1024), drawn(1024, 1024), drawn(8, 256, 32, 32), drawn(64, 256, 3, 3)
    with trial._autocast():
        product = a.to(trial.dtype) @ b.to(trial.dtype)
        convolved = functional.conv2d(images.to(trial.dtype), kernels.to(trial.dtype))
    exact = a.double() @ b.double(), functional.conv2d(images.double(), kernels.double())
    for found, expected in zip((product, convolved), exact, strict=True):
        error = float((found.double() - expected).abs().max())
        assert (error < 1e-3) is (precision == "fp32"), error
    assert trial.in_force()["tf32_matmul"] is (precision == "tf32")
    assert trial.in_force()["tf32_convolution"] is (precision == "tf32")


def test_training_memory_is_counted_and_above_predictions():
    trial = build("timm", device="cuda", batch_size=64)
    digits = read_dataset("digits", 32)
    batch = trial.place(digits.training.images[:64], digits.training.labels[:64])
    peaks = []
    for step in (trial.predict, trial.train_step):
        trial.reset_peak_memory()
        step(batch)
        trial.synchronize()
        peaks.append(trial.peak_memory().allocated_bytes or 0)
    assert 0 < peaks[0] < peaks[1]


def test_nvml_names_the_gpu():
    assert environment().gpus[0].name
    assert environment().gpus[0].memory_bytes > 2**30


@pytest.mark.parametrize(
    ("framework", "execution"),
    [
        ("torchvision", "eager"),
        ("torchvision", "compiled"),
        ("timm", "eager"),
        ("keras-tensorflow", "compiled"),
        ("keras-jax", "compiled"),
        ("keras-torch", "eager"),
    ],
)
def test_every_framework_trains_on_the_gpu(measure: Measure, framework: str, execution: str):
    done = measure(
        "training", framework=framework, execution=execution, architecture="mobilenet_v3_small", precision="amp-bf16"
    )
    figures = succeeded(done.outcome)
    assert isinstance(figures, Training)
    assert figures.last_loss < figures.first_loss
    assert done.telemetry is not None
    # What it leaves there for a moment is above what the driver and the others hold.
    used = done.telemetry.values("gpu_memory_bytes")
    assert max(used) - min(done.telemetry.idle("gpu_memory_bytes")) > 100 * 2**20


@pytest.mark.parametrize("framework", ["torchvision", "keras-jax", "keras-torch"])
def test_memory_on_the_gpu_is_told_apart_from_the_hosts(measure: Measure, framework: str):
    execution = "compiled" if framework == "keras-jax" else "eager"
    figures = succeeded(
        measure("memory", framework=framework, execution=execution, architecture="resnet50", batch_size=64).outcome
    )
    assert isinstance(figures, Memory)
    assert figures.training.allocated_bytes is not None
    assert figures.training.allocated_bytes > 23.5e6 * 4 * 3, "weights, gradients and moments are three copies"


def test_what_does_not_fit_on_the_gpu_is_out_of_memory(measure: Measure):
    """ConvNeXt-Tiny keeps more than 60 MB an image of 224 pixels for its backward pass."""
    free = torch.cuda.mem_get_info()[0]
    size = 1 << (free // 30_000_000).bit_length()
    done = measure("memory", framework="torchvision", architecture="convnext_tiny", batch_size=size, image_size=224)
    assert done.outcome.status == "out_of_memory", done.outcome.reason


def test_energy_is_read_off_the_gpu(measure: Measure):
    """Ten seconds of training take between what no card that is on falls below and what none exceeds."""
    changes = {"architecture": "resnet50", "batch_size": 64, "image_size": 128, "blocks": 24}
    done = measure("training", framework="torchvision", training_block_seconds=0.5, **changes)
    figures = succeeded(done.outcome)
    assert isinstance(figures, Training)
    assert done.telemetry is not None
    timed = figures.resident
    seconds = timed.begun_seconds[-1] + timed.block_seconds[-1] - timed.begun_seconds[0]
    found = energy(done.telemetry, "gpu", timed.begun_seconds[0], seconds)
    assert not isinstance(found, str), found
    assert 20 < found.gross_joules / seconds < 1500
    assert found.net_joules is not None
    assert 0 < found.net_joules < found.gross_joules


@pytest.mark.parametrize("name", ["onnx-cuda", "onnx-tensorrt", "tensorrt", "torchscript", "torch-export"])
def test_an_artifact_agrees_with_its_source(measure: Measure, name: str):
    """The last two run on the CPU, whatever trained the model."""
    changes = {"framework": "timm", "architecture": "resnet18", "image_size": 64, "compared_images": 256}
    figures = succeeded(measure(f"export:{name}", **changes).outcome)
    assert isinstance(figures, Export)
    allowed = gate.TOLERANCES["fp32"]
    assert figures.maximum_relative_error <= allowed.error
    assert figures.top1_agreement >= allowed.decisions
