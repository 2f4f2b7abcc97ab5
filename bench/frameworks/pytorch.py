"""What torchvision and timm share: the trial around a torch module. Only building the module differs."""

import copy
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch._dynamo.utils import calculate_time_spent
from torch.utils.flop_counter import FlopCounterMode

from bench.data.dataset import Split
from bench.errors import Unavailable, Unsupported
from bench.frameworks import pytorch_augment
from bench.frameworks.pixels import black_and_white
from bench.frameworks.pytorch_loader import Loader
from bench.frameworks.pytorch_optimization import Optimization, batch_norms, criterion, set_batch_norm_momentum
from bench.frameworks.pytorch_weights import Weights, classifiers, initialise_classifier, without_classifier
from bench.frameworks.trial import (
    Floats,
    Images,
    Labels,
    LayerSettings,
    PeakMemory,
    Request,
    Source,
    once,
    refuse_older_gpu,
)
from bench.plan.cards import Pixels
from bench.plan.cell import Cell
from bench.plan.recipe import Phase

Batch = tuple[Tensor, Tensor]
_AUTOCAST = {"amp-fp16": torch.float16, "amp-bf16": torch.bfloat16}
_STATE = "state.pt"


class TorchTrial:
    """A torch module at one precision on one device, with its optimizer.

    `published` is the normalisation of the weights that its card names, whatever weights it holds.
    """

    def __init__(self, module: nn.Module, request: Request, weights: Weights, published: Pixels | None) -> None:
        cell, recipe = request.cell, request.recipe
        self.request = request
        self.device = torch.device(cell.device)
        self.dtype = torch.bfloat16 if cell.precision == "bf16" else torch.float32
        if recipe.batch_norm_momentum is not None:
            set_batch_norm_momentum(module, recipe.batch_norm_momentum)
        if recipe.head_epochs and not weights.new_classifier:
            weights = without_classifier(module, weights)
        if weights.new_classifier and recipe.classifier_init_std is not None:
            initialise_classifier(module, recipe.classifier_init_std)
        self.module = module.to(self.device, self.dtype).to(memory_format=torch.channels_last)
        self.forward: Callable[[Tensor], Tensor] = self.module
        if cell.execution == "compiled":
            self.forward = torch.compile(self.module, dynamic=False)
        self.criterion = criterion(request, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=cell.precision == "amp-fp16")
        self.optimization = Optimization(self.module, request, self.scaler, None)
        self.mix = pytorch_augment.of_batches(recipe, request.classes)
        self.batches = Loader(recipe, cell.image_size, self.batch_size, self.device).batches
        self.normalisation = request.pixels or weights.pixels
        # Of a whole row of pixels: channel by channel takes three times as long.
        self.mean = torch.tensor(self.normalisation.mean, device=self.device).repeat(request.cell.image_size)
        self.std = torch.tensor(self.normalisation.std, device=self.device).repeat(request.cell.image_size)
        self.weights = weights
        self.published = published

    def in_force(self) -> dict[str, str | int | float | bool | None]:
        return {
            "weights": self.weights.name,
            "weights_left_out": self.weights.left_out or None,
            "classifier_init_std": self.request.recipe.classifier_init_std if self.weights.new_classifier else None,
            "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
            "tf32_convolution": torch.backends.cudnn.allow_tf32,
            "autocast": {"amp-fp16": "float16", "amp-bf16": "bfloat16"}.get(self.request.cell.precision),
            "parameter_type": str(next(self.module.parameters()).dtype).removeprefix("torch."),
            "loss_scaling": self.scaler.is_enabled(),
            "layout": "channels_last",
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "device_name": torch.cuda.get_device_name(self.device) if self._cuda else None,
            "threads": torch.get_num_threads(),
            "optimizer": type(self.optimization.optimizer).__name__,
            "optimizer_fused": bool(self.optimization.optimizer.defaults["fused"]),
            "compiled": self.forward is not self.module,
            "resumes": self._resumes(),
        }

    def _resumes(self) -> str:
        if self._cuda:
            return "within rounding: cuDNN chooses its algorithms anew"
        return "bit for bit" if self.forward is self.module else "unknown: no test holds compiled code to it"

    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())

    def flops(self) -> int | None:
        size = self.request.cell.image_size
        images, _ = self.place(np.zeros((1, size, size, 3), np.uint8), np.zeros(1, np.int64))
        self._set_training(False)
        fast_path = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # It hides a whole transformer layer from the counter.
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self.module(images)
        torch.backends.mha.set_fastpath_enabled(fast_path)
        return int(counter.get_total_flops())

    def settings(self) -> LayerSettings:
        layers = list(self.module.modules())
        norms = list(batch_norms(self.module))
        rates = [getattr(layer, name, None) for layer in layers for name in ("p", "drop_prob")]
        classifier = list(classifiers(self.module).values())[-1]
        return LayerSettings(
            outputs=classifier.weight.shape[0],
            batch_norm_epsilon=once(norm.eps for norm in norms),
            batch_norm_momentum=once(norm.momentum for norm in norms if norm.momentum is not None),
            dropout=max((rate for rate in rates if isinstance(rate, float)), default=0.0),
            published_pixels=black_and_white(self.published) if self.published else (),
        )

    def pixels(self) -> Pixels:
        return self.normalisation

    def place(self, images: Images, labels: Labels) -> Batch:
        return self._place(torch.from_numpy(images), torch.from_numpy(labels))

    def begin(self, phase: Phase) -> None:
        skipped = self.optimization.skipped
        self.optimization = Optimization(self.module, self.request, self.scaler, phase)
        self.optimization.skipped = skipped

    def train_step(self, batch: Batch) -> Tensor:
        self._set_training(True)
        loss = self._loss(batch)
        self.optimization.step(loss)
        return loss.detach()

    def loss(self, handle: Tensor) -> float:
        return float(handle)

    def predict(self, batch: Batch) -> Tensor:
        self._set_training(False)
        with torch.inference_mode(), self._autocast():
            return self.forward(batch[0])

    def logits(self, split: Split) -> Floats:
        size, found = self.batch_size, []
        answering = self.optimization.answering
        answering.eval()
        forward = self.forward if answering is self.module else answering
        for images, labels in self.batches(split):
            count = len(labels)
            if count < size:  # Filled up: another shape would make a compiled model compile once more.
                images = torch.cat([images, images[-1:].expand(size - count, -1, -1, -1)])
            with torch.inference_mode(), self._autocast():
                found.append(forward(self._normalised(images))[:count].float().cpu())
        return torch.cat(found).numpy()

    def synchronize(self) -> None:
        if self._cuda:
            torch.cuda.synchronize(self.device)

    def loader(self, split: Split, seed: int) -> Iterator[Batch]:
        seed_epoch(seed)
        for images, labels in self.batches(split, seed):
            batch = self._place(images, labels)
            yield batch if self.mix is None else self.mix(*batch)

    def snapshot(self) -> dict[str, Tensor]:
        return copy.deepcopy(self.optimization.answering.state_dict())

    def restore(self, snapshot: dict[str, Tensor]) -> None:
        self.module.load_state_dict(snapshot)
        self.optimization.average_anew()

    def save(self, file: Path) -> None:
        file.unlink(missing_ok=True)
        file.touch()
        mode = file.stat().st_mode  # As any new file's; safetensors leaves one that nobody else may read.
        save_model(self.optimization.answering, str(file))  # Unlike save_file it takes weights that two layers share.
        file.chmod(mode)

    def load(self, file: Path) -> None:
        load_model(self.module, file, device=str(self.device))
        self.optimization.average_anew()

    def save_state(self, folder: Path) -> None:
        torch.save(self.optimization.state(), folder / _STATE)

    def load_state(self, folder: Path) -> None:
        self.optimization.load_state(torch.load(folder / _STATE, map_location=self.device, weights_only=True))

    def gradients(self, batch: Batch) -> dict[str, float]:
        buffers = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        self._set_training(True)
        named = {name: weight for name, weight in self.module.named_parameters() if weight.requires_grad}
        found = torch.autograd.grad(self._loss(batch), list(named.values()), allow_unused=True)
        for name, buffer in self.module.named_buffers():
            buffer.copy_(buffers[name])
        return {name: 0.0 if one is None else float(one.norm()) for name, one in zip(named, found, strict=True)}

    def skipped_steps(self) -> int | None:
        return int(self.optimization.skipped) if self.scaler.is_enabled() else None

    def compile_seconds(self) -> float | None:
        return calculate_time_spent()["total_wall_time"] if self.forward is not self.module else None

    def source(self) -> Source:
        cell = self.request.cell
        if cell.precision != "fp32" or cell.execution != "eager":
            raise Unsupported(f"exports are made from fp32 eager models, not from {cell.precision} {cell.execution}")
        # A copy on the CPU, wherever it was trained: where it runs is the format's affair.
        model = copy.deepcopy(self.optimization.answering).cpu().eval()
        size = cell.image_size
        example = torch.zeros(2, 3, size, size).contiguous(memory_format=torch.channels_last)
        return Source(kind="torch", model=model, example=example)

    def normalise(self, images: Images) -> Floats:
        placed, _ = self.place(images, np.zeros(len(images), np.int64))
        return placed.float().cpu().contiguous().numpy()

    def reset_peak_memory(self) -> None:
        if self._cuda:
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_memory(self) -> PeakMemory:
        if not self._cuda:
            return PeakMemory(allocated_bytes=None, reserved_bytes=None)
        return PeakMemory(
            allocated_bytes=torch.cuda.max_memory_allocated(self.device),
            reserved_bytes=torch.cuda.max_memory_reserved(self.device),
        )

    @property
    def batch_size(self) -> int:
        size = self.request.cell.batch_size
        assert isinstance(size, int), "the runner resolves an automatic batch size before a trial is built"
        return size

    @property
    def _cuda(self) -> bool:
        return self.device.type == "cuda"

    def _set_training(self, training: bool) -> None:
        if self.module.training is training:  # Setting it walks every layer, which a small model would feel.
            return
        if training:
            self.optimization.set_training()
        else:
            self.module.eval()

    def _loss(self, batch: Batch) -> Tensor:
        images, labels = batch
        with self._autocast():
            loss: Tensor = self.criterion(self.forward(images), labels)
        return loss

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = _AUTOCAST.get(self.request.cell.precision)
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def _normalised(self, images: Tensor) -> Tensor:
        rows = images.to(self.device, non_blocking=True).flatten(2)
        if self._cuda:
            pixels = rows.float().sub_(self.mean).div_(self.std)
        else:  # NumPy converts as it subtracts: one thread of it is faster than two of torch, which the loader's processes want.
            centred = np.subtract(rows.numpy(), self.mean.numpy())
            pixels = torch.from_numpy(np.divide(centred, self.std.numpy(), out=centred))
        pixels = pixels.view(images.shape).permute(0, 3, 1, 2)
        return pixels.to(self.dtype, memory_format=torch.channels_last)

    def _place(self, images: Tensor, labels: Tensor) -> Batch:
        placed = labels.to(self.device, non_blocking=True)
        return self._normalised(images), placed.to(self.dtype) if self.request.recipe.several_labels else placed


def require(cell: Cell) -> None:
    """Raise `Unavailable` or `Unsupported` where the device is not there, too old, or lacks what compiling needs."""
    if cell.device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise Unavailable("torch sees no CUDA device; run on another with --device cpu")
        name = torch.cuda.get_device_name(cell.device)
        refuse_older_gpu(cell.precision, torch.cuda.get_device_capability(cell.device), name)
    elif cell.execution == "compiled" and not (os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")):
        raise Unavailable("torch.compile needs a C++ compiler on the CPU: apt-get install g++")


def seed_epoch(seed: int) -> None:
    """Seed what draws in this process: torch dropout and torchvision's transforms, NumPy timm's mixing."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def prepare(request: Request) -> None:
    """Set what is global in torch: seed, threads, cuDNN's choice of algorithms, and TF32 on or off everywhere."""
    cell = request.cell
    require(cell)
    torch.manual_seed(request.seed)
    torch.set_num_threads(request.threads)
    torch.backends.cudnn.benchmark = True
    # Not the newer `fp32_precision`: torch's own exporter still asks the older flags, and raises when only the newer are set.
    torch.backends.cuda.matmul.allow_tf32 = cell.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = cell.precision == "tf32"
