"""PyTorch through timm."""

from pathlib import Path
from typing import Any

import timm
from torch import nn

from bench.errors import Unsupported
from bench.frameworks.pixels import of_unit
from bench.frameworks.pytorch import TorchTrial, prepare
from bench.frameworks.pytorch_weights import Weights, load_checkpoint, offline
from bench.frameworks.trial import Request
from bench.plan.cards import FrameworkModel, Pixels


def catalogue() -> list[str]:
    """Return the names of timm's models."""
    return list(timm.list_models())


def build(request: Request) -> TorchTrial:
    """Build a timm model by name; raise `Unavailable` where its weights cannot be had."""
    prepare(request)
    module, weights = _with_weights(request)
    published = timm.get_pretrained_cfg(_published_name(request.model), allow_unregistered=True)
    return TorchTrial(module, request, weights, of_unit(published.mean, published.std) if published else None)


def _published_name(model: FrameworkModel) -> str:
    return f"{model.model}.{model.weights}" if model.weights else model.model


def _with_weights(request: Request) -> tuple[nn.Module, Weights]:
    model, weights = request.model, request.cell.weights
    if weights == "pretrained":
        name = _published_name(model)
        module = _pretrained(request, name)
        published: Any = module.pretrained_cfg
        new_classifier = published["num_classes"] != request.classes
        return module, Weights(name=name, new_classifier=new_classifier, pixels=_pixels(module))
    module = _create(request, model.model, pretrained=False)
    if weights == "random":
        return module, Weights(name="random", new_classifier=True)
    left_out = load_checkpoint(module, Path(weights))
    name = Path(weights).name
    return module, Weights(name=name, new_classifier=bool(left_out), left_out=left_out, pixels=_pixels(module))


def _pixels(module: nn.Module) -> Pixels:
    published: Any = module.pretrained_cfg
    return of_unit(published["mean"], published["std"])


def _create(request: Request, name: str, *, pretrained: bool) -> nn.Module:
    arguments = dict(request.model.arguments)
    published = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if published is not None and published.fixed_input_size:
        arguments["img_size"] = request.cell.image_size
    try:
        module: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=request.classes, **arguments)
    except RuntimeError as error:
        if "Unknown model" in str(error) or "No pretrained weights" in str(error):
            raise Unsupported(f"timm {timm.__version__}: {error}") from None
        raise
    return module


def _pretrained(request: Request, name: str) -> nn.Module:
    try:
        return _create(request, name, pretrained=True)
    except OSError as error:
        raise offline(name, error, "the Hugging Face cache, or name a file with --weights PATH") from None
