"""Augmentation in torch: torchvision's transforms an image, timm's Mixup and CutMix a batch."""

from collections.abc import Callable
from typing import Any

import torch
from timm.data.mixup import Mixup
from torch import Tensor
from torchvision.transforms import v2

from bench.data.decode import Box
from bench.plan.recipe import CROP_RATIO, Recipe

_POLICIES: dict[str, Callable[[], v2.Transform]] = {
    "randaugment": v2.RandAugment,
    "autoaugment": v2.AutoAugment,
    "trivialaugment": v2.TrivialAugmentWide,
}


def of_images(recipe: Recipe, image_size: int, cropped: bool) -> v2.Compose | None:
    """Return what is done to one image, uint8 in [3, size, size], or None; `cropped` says that its random crop is done."""
    found: list[v2.Transform] = []
    if padding := round(image_size * recipe.crop_padding):
        found.append(v2.RandomCrop(image_size, padding=padding))
    if recipe.resized_crop and not cropped:
        found.append(v2.RandomResizedCrop(image_size, scale=recipe.resized_crop, ratio=CROP_RATIO, antialias=True))
    if recipe.flip:
        found.append(v2.RandomHorizontalFlip())
    if recipe.policy:
        found.append(_POLICIES[recipe.policy]())
    if recipe.erasing:
        found.append(v2.RandomErasing(recipe.erasing))
    return v2.Compose(found) if found else None


def random_box(recipe: Recipe) -> Callable[[int, int], Box] | None:
    """Return what chooses a random crop from an image's height and width, or None."""
    scale = recipe.resized_crop
    if scale is None:
        return None

    def choose(height: int, width: int) -> Box:
        like = torch.empty(()).expand(3, height, width)  # Only its shape is looked at.
        top, left, tall, wide = v2.RandomResizedCrop.get_params(like, list(scale), list(CROP_RATIO))
        return top, left, tall, wide

    return choose


def of_batches(recipe: Recipe, classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """Return what mixes normalised images in [n, 3, size, size] with their labels, or None; `n` must be even."""
    if not (recipe.mixup_alpha or recipe.cutmix_alpha):
        return None
    several = {"multi_label": True} if recipe.several_labels else {}
    mixup: Any = Mixup  # Untyped.
    mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = mixup(
        mixup_alpha=recipe.mixup_alpha or 0.0,
        cutmix_alpha=recipe.cutmix_alpha or 0.0,
        label_smoothing=0.0,  # The loss does it.
        num_classes=classes,
        **several,
    )
    return mix
