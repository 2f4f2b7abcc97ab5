"""Training by a recipe in torch: optimizer, schedule, and the epochs."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from bench.data.dataset import Split
from bench.errors import JobError
from bench.frameworks.trial import Epoch
from bench.measure.scores import cross_entropy, top_k
from bench.plan.recipe import Recipe

if TYPE_CHECKING:
    from bench.frameworks.pytorch import TorchTrial

# One cycle begins at a 25th of its highest rate (OneCycleLR's own default); steps outside `fit` keep that rate.
_FIRST_RATE = 1 / 25


def optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimizer, fused, at the rate its schedule begins with."""
    rate = recipe.learning_rate * (_FIRST_RATE if recipe.schedule == "onecycle" else 1)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            module.parameters(), lr=rate, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay, fused=True
        )
    return torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=recipe.weight_decay, fused=True)


def set_batch_norm_momentum(module: nn.Module, momentum: float) -> None:
    """Give every batch normalisation the same weight for the newest batch in its running statistics."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = momentum


def fit(trial: "TorchTrial", training: Split, validation: Split, epoch_done: Callable[[Epoch], bool]) -> None:
    """Train by the recipe; leave the weights of the last epoch of which `epoch_done` said that it is the best so far."""
    recipe = trial.request.recipe
    steps = len(training) // trial.batch_size
    if not steps:
        raise JobError(f"{len(training)} training images do not fill one batch of {trial.batch_size}")
    schedule = None
    if recipe.schedule == "onecycle":
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            trial.optimizer, recipe.learning_rate, total_steps=steps * recipe.epochs, div_factor=1 / _FIRST_RATE
        )
    best_weights = trial.module.state_dict()
    for number in range(recipe.epochs):
        training_loss = _epoch(trial, training, trial.request.seed * 1000 + number, schedule)
        logits = trial.logits(validation)
        epoch = Epoch(
            training_loss=training_loss,
            validation_loss=cross_entropy(logits, validation.labels),
            validation_top1=top_k(logits, validation.labels, 1),
        )
        if epoch_done(epoch):
            best_weights = copy.deepcopy(trial.module.state_dict())
    trial.module.load_state_dict(best_weights)


def _epoch(
    trial: "TorchTrial", training: Split, seed: int, schedule: torch.optim.lr_scheduler.LRScheduler | None
) -> float:
    """Train once over the split and return the mean loss; the losses stay on the device until the end."""
    losses = []
    for batch in trial.loader(training, seed):
        losses.append(trial.train_step(batch))
        if schedule is not None:
            schedule.step()
    return float(torch.stack(losses).mean())
