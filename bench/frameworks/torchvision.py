"""PyTorch through torchvision."""

from pathlib import Path

import torch
import torchvision
from torch import nn

from bench.errors import Unsupported
from bench.frameworks.pixels import IMAGENET, of_unit
from bench.frameworks.pytorch import TorchTrial, prepare
from bench.frameworks.pytorch_weights import Weights, load_checkpoint, offline, replace_head
from bench.frameworks.trial import Request
from bench.plan.cards import FrameworkModel, Pixels


def catalogue() -> list[str]:
    """Return the names of torchvision's classification models."""
    return list(torchvision.models.list_models(module=torchvision.models))


def build(request: Request) -> TorchTrial:
    """Build the model a card names; raise `Unavailable` where its weights cannot be had."""
    prepare(request)
    module, weights = _with_weights(request)
    return TorchTrial(module, request, weights, _pixels(request.model))


def _pixels(model: FrameworkModel) -> Pixels | None:
    """Return the normalisation of the weights that the card names."""
    if model.weights is None:
        return None
    transforms = torchvision.models.get_model_weights(model.model)[model.weights].transforms()
    return of_unit(transforms.mean, transforms.std)


def _with_weights(request: Request) -> tuple[nn.Module, Weights]:
    if request.cell.weights == "pretrained":
        return _pretrained(request)
    arguments = dict(request.model.arguments)
    if request.model.image_size_argument:
        arguments[request.model.image_size_argument] = request.cell.image_size
    module = torchvision.models.get_model(request.model.model, weights=None, num_classes=request.classes, **arguments)
    if request.cell.weights == "random":
        return module, Weights(name="random", new_classifier=True)
    file = Path(request.cell.weights)
    left_out = load_checkpoint(module, file)
    return module, Weights(name=file.name, new_classifier=bool(left_out), left_out=left_out)


def _pretrained(request: Request) -> tuple[nn.Module, Weights]:
    model = request.model
    if model.weights is None:
        raise Unsupported(f"the card names no torchvision weights for {request.cell.architecture}")
    weights = torchvision.models.get_model_weights(model.model)[model.weights]
    size = weights.meta["min_size"][0]
    if model.image_size_argument and request.cell.image_size != size:
        raise Unsupported(f"{model.weights} takes images of {size} px, not of {request.cell.image_size} px")
    try:
        module = torchvision.models.get_model(model.model, weights=weights)
    except OSError as error:  # URLError is one.
        file = weights.url.rpartition("/")[2]
        raise offline(file, error, f"{torch.hub.get_dir()}/checkpoints") from None
    if model.arguments.get("aux_logits") is False:  # With weights, torchvision refuses the argument itself.
        module.aux_logits, module.AuxLogits = False, None
    new_classifier = replace_head(module, request.classes)
    name = f"{model.model} {model.weights}"
    return module, Weights(name=name, new_classifier=new_classifier, pixels=_pixels(model) or IMAGENET)
