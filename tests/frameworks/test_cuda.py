"""On a GPU: precisions are what they say, memory is counted, and out of memory is known for what it is."""

import pytest
import torch
from test_pytorch import build

from bench.data.read import read_dataset
from bench.records.environment import environment

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: nothing here can be checked without one"),
]


@pytest.mark.parametrize("precision", ["fp32", "tf32", "amp-fp16", "amp-bf16", "bf16"])
def test_products_have_the_precision_they_are_said_to_have(precision: str):
    """The error of one large product against float64 tells TF32 and the half types from fp32."""
    trial = build("torchvision", precision=precision, device="cuda")
    generator = torch.Generator("cuda").manual_seed(0)
    a, b = (torch.randn(1024, 1024, device="cuda", generator=generator) for _ in range(2))
    with trial._autocast():
        product = a.to(trial.dtype) @ b.to(trial.dtype)
    error = float((product.double() - a.double() @ b.double()).abs().max())
    assert (error < 1e-3) is (precision == "fp32"), error
    assert trial.in_force()["tf32_matmul"] is (precision == "tf32")


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
