"""Recipes: how a model is trained, one TOML file each."""

from functools import cache
from typing import Annotated, Literal

import msgspec

from bench.errors import unknown
from bench.plan.files import RECIPES, file_hash, names, read_toml


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to train.

    `batch_norm_momentum` is the weight of the newest batch in the running statistics, PyTorch's convention; None leaves
    the model's own. `classifier_init_std` is the standard deviation of the normal distribution that a new classifier is
    drawn from, with a bias of zero; None leaves the library's own way. `crop_padding` is the share of the image's side
    that a random crop may shift it by. `loader_workers` is how many processes load; None takes none for images in memory
    and one a core, up to 8, for files.
    """

    description: str
    epochs: Annotated[int, msgspec.Meta(ge=1)]
    optimizer: Literal["adamw", "sgd"]
    learning_rate: float
    weight_decay: float
    schedule: Literal["constant", "onecycle"]
    label_smoothing: float
    crop_padding: float
    batch_norm_momentum: float | None = None
    classifier_init_std: float | None = None
    loader_workers: int | None = None


@cache
def recipe(name: str) -> Recipe:
    if name not in recipe_names():
        raise unknown("recipe", name, recipe_names())
    return read_toml(RECIPES / f"{name}.toml", Recipe)


def recipe_names() -> tuple[str, ...]:
    return names(RECIPES)


@cache
def recipe_hash(name: str) -> str:
    return file_hash(RECIPES / f"{name}.toml")
