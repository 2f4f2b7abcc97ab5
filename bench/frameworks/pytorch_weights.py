"""Weights for a torch module: a head for another number of classes, and checkpoint files."""

import urllib.error
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from bench.errors import JobError, Unavailable, Unsupported
from bench.frameworks.pixels import IMAGENET
from bench.plan.cards import Pixels

_WRAPPERS = ("state_dict", "model", "model_state_dict")


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """The weights a module holds, which tensors of theirs were left out, and the normalisation they expect.

    `new_classifier` says that the classifier is not among them and still has its first, random values.
    """

    name: str
    new_classifier: bool
    left_out: str = ""
    pixels: Pixels = IMAGENET


def classifiers(module: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """Return the layers that make the logits, by name: what timm says they are, else the last linear layer, or of a network
    without one, such as SqueezeNet, the last convolution.

    Some of timm's networks have a convolution for one, and distilled ones have two.
    """
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    if not hasattr(module, "get_classifier"):
        linear = {name: layer for name, layer in layers.items() if isinstance(layer, nn.Linear)}
        return dict([(linear or layers).popitem()])
    get_classifier: Any = module.get_classifier
    said = get_classifier()
    inside = {id(part) for one in (said if isinstance(said, tuple) else (said,)) for part in one.modules()}
    return {name: layer for name, layer in layers.items() if id(layer) in inside}


def initialise_classifier(module: nn.Module, std: float) -> None:
    """Draw the classifier's weights from a normal distribution of this standard deviation and set its bias to zero."""
    for layer in classifiers(module).values():
        nn.init.normal_(layer.weight, std=std)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def without_classifier(module: nn.Module, weights: Weights) -> Weights:
    """Give the classifier first values as the library has them, and return what the other weights are."""
    layers = classifiers(module)
    for layer in layers.values():
        layer.reset_parameters()
    names = (f"{name}.{part}" for name, layer in layers.items() for part, _ in layer.named_parameters())
    return msgspec.structs.replace(weights, new_classifier=True, left_out=", ".join(sorted(names)))


def replace_head(module: nn.Module, classes: int) -> bool:
    """Put a new classifier in the place of one for another number of classes; return whether that was needed."""
    ((name, old),) = classifiers(module).items()
    if not isinstance(old, nn.Linear):
        raise Unsupported(f"{name} is a convolution: its pretrained classifier cannot be replaced")
    if old.out_features == classes:
        return False
    module.set_submodule(name, nn.Linear(old.in_features, classes, bias=old.bias is not None))
    return True


def load_checkpoint(module: nn.Module, file: Path) -> str:
    """Load a safetensors file or a torch file of tensors alone; return the names of the tensors left out.

    A classifier of another shape is left out, as transfer learning wants it; anything else that does not fit is an error.
    """
    if not file.is_file():
        raise Unavailable(f"{file}: no such checkpoint")
    tensors = _read(file)
    own = module.state_dict()
    heads = (
        {f"{name}.{part}" for name in classifiers(module) for part in ("weight", "bias")} & tensors.keys() & own.keys()
    )
    other = {name for name in heads if own[name].shape != tensors[name].shape}
    try:
        result = module.load_state_dict({n: t for n, t in tensors.items() if n not in other}, strict=False)
    except RuntimeError as error:
        raise JobError(f"{file}: does not fit this model: {error}") from None
    lacking = sorted(set(result.missing_keys) - other)
    if lacking or result.unexpected_keys:
        raise JobError(
            f"{file}: does not fit this model: {len(lacking)} tensors lacking (first {lacking[:2]}), "
            f"{len(result.unexpected_keys)} unknown (first {result.unexpected_keys[:2]})"
        )
    return ", ".join(sorted(other))


def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(file)
        except SafetensorError as error:
            raise JobError(f"{file}: not a safetensors file: {error}") from None
    try:
        held: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip and its own errors for a damaged or an unsafe file.
        raise JobError(
            f"{file}: cannot be read as tensors alone ({type(error).__name__}); write it with torch.save(model.state_dict(), …)"
        ) from None
    for wrapper in _WRAPPERS:
        if isinstance(held, dict) and isinstance(held.get(wrapper), dict):
            held = held[wrapper]
    if not isinstance(held, dict) or not all(isinstance(tensor, Tensor) for tensor in held.values()):
        raise JobError(f"{file}: holds no dictionary of tensors")
    return held


def offline(what: str, error: Exception, place: str) -> Unavailable:
    """Return the error for weights that are neither cached nor to be had."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else str(error).splitlines()[0].partition(". ")[0]
    return Unavailable(f"{what}: not cached and cannot be downloaded ({reason}); put the file into {place}")
