"""Keras on PyTorch: what Keras leaves to its backend."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import torch
from torch._dynamo.utils import calculate_time_spent

from bench.data.dataset import Split
from bench.frameworks import pytorch, pytorch_loader
from bench.frameworks.keras_steps import Batch, FunctionSteps
from bench.frameworks.trial import PeakMemory, Request

if TYPE_CHECKING:
    from bench.frameworks.keras import KerasTrial


# What `prepare` chose; Keras's scope lasts as long as somebody holds it.
_CHOSEN: list[Any] = []


def prepare(request: Request) -> None:
    pytorch.prepare(request)
    scope = keras.device(request.cell.device.replace("cuda", "gpu"))
    scope.__enter__()
    _CHOSEN[:] = [torch.device(request.cell.device), scope]
    if _cuda():
        torch.cuda.set_device(_CHOSEN[0])


def _cuda() -> bool:
    return bool(_CHOSEN[0].type == "cuda")


def in_force() -> dict[str, str | int | float | bool | None]:
    return {
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_convolution": torch.backends.cudnn.allow_tf32,
        "device": str(keras.ops.zeros(1).device),
        "threads": torch.get_num_threads(),
    }


def steps(network: keras.Model, execution: str) -> FunctionSteps:
    return FunctionSteps(network, torch.cuda.synchronize if _cuda() else _nothing)


def _nothing() -> None:
    """A CPU has no queue: a step has been taken when it returns."""


def put(array: np.ndarray[Any, Any]) -> Any:
    return torch.from_numpy(array).to(_CHOSEN[0], non_blocking=True)


def batches(trial: "KerasTrial", split: Split, seed: int) -> Iterator[Batch]:
    """Yield batches from torch's loader, read and cropped in its workers, normalised on the device."""
    recipe = trial.request.recipe
    for images, labels in pytorch_loader.batches(
        split,
        trial.batch_size,
        workers=pytorch_loader.worker_count(split, recipe),
        pinned=_cuda(),
        shuffle_seed=seed,
        crop_padding=recipe.crop_padding,
    ):
        yield trial.place(images.numpy(), labels.numpy())


def compile_seconds() -> float | None:
    spent: float = calculate_time_spent().get("total_wall_time", 0.0)
    return spent or None


def reset_peak_memory() -> None:
    if _cuda():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> PeakMemory:
    if not _cuda():
        return PeakMemory(allocated_bytes=None, reserved_bytes=None)
    return PeakMemory(
        allocated_bytes=torch.cuda.max_memory_allocated(), reserved_bytes=torch.cuda.max_memory_reserved()
    )
