"""Keras on PyTorch: what Keras leaves to its backend."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import torch
from torch._dynamo.utils import calculate_time_spent

from bench.data.dataset import Split
from bench.frameworks import pytorch, pytorch_augment, pytorch_loader
from bench.frameworks.keras_steps import Batch, FunctionSteps, batch_loss, held_values
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
        torch.cuda.set_device(_CHOSEN[0].index or 0)  # It takes no 'cuda' without a number.


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
    """Yield batches from torch's loader, augmented as torch's own are, normalised and mixed on the device."""
    recipe = trial.request.recipe
    mix = pytorch_augment.of_batches(recipe, trial.request.classes)
    pytorch.seed_epoch(seed)
    for images, labels in _loader(trial).batches(split, seed):
        pixels = trial.normalisation(images.to(_CHOSEN[0], non_blocking=True))
        labels = labels.to(_CHOSEN[0], non_blocking=True)
        if recipe.several_labels:
            labels = labels.float()
        if mix is not None:
            mixed, labels = mix(pixels.permute(0, 3, 1, 2), labels)
            pixels = mixed.permute(0, 2, 3, 1)
        elif not recipe.several_labels:
            labels = torch.nn.functional.one_hot(labels, trial.request.classes).float()
        yield pixels, labels


@cache
def _loader(trial: "KerasTrial") -> pytorch_loader.Loader:
    """Return the loader of a trial: it keeps on the device what lies there whole."""
    cell = trial.request.cell
    return pytorch_loader.Loader(trial.request.recipe, cell.image_size, trial.batch_size, _CHOSEN[0])


def gradients(network: keras.Model, batch: Batch) -> list[Any]:
    trained, rest = ([one.detach() for one in group] for group in held_values(network))
    for one in trained:
        one.requires_grad_(True)
    loss = batch_loss(network, trained, rest, batch)
    return list(torch.autograd.grad(loss, trained, allow_unused=True))


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
