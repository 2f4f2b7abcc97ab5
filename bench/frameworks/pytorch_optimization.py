"""From a loss to a step in torch: what trains, optimizer, schedule, loss scaling, accumulation, clipping, averages."""

from collections.abc import Iterator
from typing import Any

import torch
from timm.scheduler.cosine_lr import CosineLRScheduler
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.ops import sigmoid_focal_loss

from bench.errors import Unsupported
from bench.frameworks.pytorch_weights import classifiers
from bench.frameworks.trial import Request
from bench.plan.recipe import FIRST_RATE, FOCAL_ALPHA, FOCAL_GAMMA, Phase, Recipe

_MOMENTUM = 0.9


def criterion(request: Request, device: torch.device) -> nn.Module:
    """Return the recipe's loss, a mean, of logits in [n, classes] and labels or their shares."""
    recipe = request.recipe
    if recipe.loss == "cross-entropy":
        return nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    if recipe.loss == "focal":
        return _Focal()
    weights = request.positive_weights if recipe.loss == "weighted-bce" else None
    return nn.BCEWithLogitsLoss(pos_weight=None if weights is None else torch.tensor(weights, device=device))


class _Focal(nn.Module):
    """torchvision's focal loss, its mean over images and classes."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = sigmoid_focal_loss(
            logits.float(), labels.float(), alpha=FOCAL_ALPHA, gamma=FOCAL_GAMMA, reduction="mean"
        )
        return loss


def optimizer(weights: list[nn.Parameter], recipe: Recipe, rate: float) -> torch.optim.Optimizer:
    """Return the recipe's optimizer, fused."""
    match recipe.optimizer:
        case "sgd":
            return torch.optim.SGD(
                weights, lr=rate, momentum=_MOMENTUM, nesterov=True, weight_decay=recipe.weight_decay, fused=True
            )
        case "adam":
            return torch.optim.Adam(weights, lr=rate, fused=True)
        case "adamw":
            return torch.optim.AdamW(weights, lr=rate, weight_decay=recipe.weight_decay, fused=True)


class _Constant:
    """A rate that stays, with the interface of torch's schedules."""

    def step(self) -> None:
        """Nothing changes."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing was kept."""


class _Warmed:
    """timm's linear warm-up, then its cosine down to 0 or the rate itself, one update a step."""

    def __init__(self, optimizer: torch.optim.Optimizer, phase: Phase, cosine: bool) -> None:
        after = max(1, phase.steps - phase.warmup_steps)
        self.taken = 0
        self.schedule = CosineLRScheduler(
            optimizer,
            t_initial=after,
            lr_min=0.0 if cosine else phase.learning_rate,
            warmup_t=phase.warmup_steps,
            warmup_lr_init=phase.learning_rate * FIRST_RATE if phase.warmup_steps else 0.0,
            warmup_prefix=True,
            t_in_epochs=False,
        )

    def step(self) -> None:
        self.taken += 1
        self.schedule.step_update(self.taken)

    def state_dict(self) -> dict[str, Any]:
        return {"taken": self.taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.taken = state["taken"]
        self.schedule.step_update(self.taken)


def _schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, phase: Phase) -> Any:
    if recipe.schedule == "onecycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, phase.learning_rate, total_steps=phase.steps, div_factor=1 / FIRST_RATE, cycle_momentum=False
        )
    if recipe.schedule == "cosine" or phase.warmup_steps:
        return _Warmed(optimizer, phase, recipe.schedule == "cosine")
    return _Constant()


class Optimization:
    """Steps of a module: of everything at the first rate, or of what a phase trains and by its schedule."""

    def __init__(self, module: nn.Module, request: Request, scaler: torch.amp.GradScaler, phase: Phase | None) -> None:
        recipe = request.recipe
        self.recipe = recipe
        self.module = module
        self.scaler = scaler
        self.head_only = phase is not None and phase.trained == "head"
        module.eval()  # So that the next step decides anew which layers are in training.
        module.zero_grad(set_to_none=True)  # Of batches that an earlier phase gathered and took no step with.
        _choose_trained(module, self.head_only, recipe.freeze_batch_norm)
        self.weights = [weight for weight in module.parameters() if weight.requires_grad]
        highest = phase.learning_rate if phase else recipe.learning_rate
        self.optimizer = optimizer(self.weights, recipe, highest if phase or not recipe.rises else highest * FIRST_RATE)
        self.schedule: Any = _schedule(self.optimizer, recipe, phase) if phase else _Constant()
        self.average = None if recipe.average_decay is None else self._averaged()
        self.skipped = torch.zeros((), device=next(module.parameters()).device)
        self.batches = 0

    def step(self, loss: Tensor) -> None:
        """Add the gradients of a batch's mean loss; with enough batches together, take one step of the optimizer."""
        together = self.recipe.accumulation_steps
        self.scaler.scale(loss if together == 1 else loss / together).backward()
        self.batches += 1
        if self.batches % together:
            return
        if self.recipe.gradient_clipping is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.weights, self.recipe.gradient_clipping)
        self.scaler.step(self.optimizer)
        if self.scaler.is_enabled():
            # The scaler has no public count of what it skipped; reading its scale would synchronise every step.
            for found in self.scaler._found_inf_per_device(self.optimizer).values():
                self.skipped += found
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.module)

    @property
    def answering(self) -> nn.Module:
        """The module whose weights are the result: the averaged one once there is an average."""
        return self.average.module if self.average is not None and int(self.average.n_averaged) else self.module

    def set_training(self) -> None:
        """Put the module into training mode; frozen batch normalisations keep their statistics, as Keras's do."""
        self.module.train()
        if self.head_only or self.recipe.freeze_batch_norm:
            for layer in batch_norms(self.module):
                layer.eval()

    def average_anew(self) -> None:
        """Forget the averages: the module has got other weights."""
        if self.average is not None:
            self.average = self._averaged()

    def state(self) -> dict[str, Any]:
        """Return all that it takes to go on with the next batch."""
        return {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "gradients": [weight.grad for weight in self.weights],
            "batches": self.batches,
            "skipped": self.skipped,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        for weight, gradient in zip(self.weights, state["gradients"], strict=True):
            weight.grad = gradient
        self.batches = state["batches"]
        self.skipped = state["skipped"]

    def _averaged(self) -> AveragedModel:
        if next(self.module.parameters()).dtype == torch.bfloat16:
            raise Unsupported("average_decay needs more digits than the weights have in bfloat16")
        assert self.recipe.average_decay is not None, "asked for by the recipe alone"
        return AveragedModel(self.module, multi_avg_fn=get_ema_multi_avg_fn(self.recipe.average_decay))


def _choose_trained(module: nn.Module, head_only: bool, freeze_batch_norm: bool) -> None:
    module.requires_grad_(not head_only)
    if freeze_batch_norm:
        for norm in batch_norms(module):
            norm.requires_grad_(False)
    if head_only:
        for layer in classifiers(module).values():
            layer.requires_grad_(True)


def batch_norms(module: nn.Module) -> Iterator[nn.modules.batchnorm._BatchNorm]:
    """Yield every batch normalisation."""
    return (layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm))


def set_batch_norm_momentum(module: nn.Module, momentum: float) -> None:
    """Give every batch normalisation the same weight for the newest batch in its running statistics."""
    for layer in batch_norms(module):
        layer.momentum = momentum
