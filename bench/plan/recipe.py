"""Recipes: how a model is trained, one TOML file each."""

import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from bench.errors import unknown
from bench.plan.cards import model_card
from bench.plan.files import RECIPES, file_hash, names, read_toml

Count = Annotated[int, msgspec.Meta(ge=1)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=sys.float_info.max)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=sys.float_info.max)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Momentum = Annotated[float, msgspec.Meta(gt=0, le=1)]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Policy = Literal["randaugment", "autoaugment", "trivialaugment"]
Loss = Literal["cross-entropy", "bce", "weighted-bce", "focal"]
# One cycle, and a warm-up, begin at a 25th of the highest rate (torch's OneCycleLR by its defaults).
FIRST_RATE = 1 / 25
# The least and the largest ratio of width to height of a random crop (Szegedy et al. 2015, Going Deeper with Convolutions).
CROP_RATIO = 3 / 4, 4 / 3
# Lin et al. 2017, Focal Loss for Dense Object Detection, whose best pair of the two is the default of torchvision and of Keras.
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to train. A technique that a framework lacks makes the row `unsupported`; none is left out in silence.

    Phases
        epochs: with every layer trained. head_epochs: before them, with the new classifier alone, at head_learning_rate.
        early_stopping_epochs: a phase ends when validation has not been better for so many epochs.
    Optimizer
        optimizer: "sgd" has a momentum of 0.9, Nesterov's. weight_decay: apart from the gradient with adamw, as a part of it
        with sgd; adam has none. schedule: "constant", "cosine" down to 0, or "onecycle", of the rate alone: the momentum
        stays. warmup_epochs: of a rate that rises in a line from a 25th, before the schedule. accumulation_steps: as many
        batches make one step of the optimizer. gradient_clipping: the largest norm of all gradients together. average_decay:
        what is left of the averaged weights at a step; where it is given, the averaged weights answer.
        attention_learning_rate: in place of learning_rate for architectures whose card says `attention`.
    Loss
        loss: "cross-entropy" for one label an image; for several "bce" (binary cross-entropy), "weighted-bce" (each class's
        positives weigh negatives over positives of the training split) or "focal" (gamma 2, alpha 0.25).
    Augmentation
        crop_padding: the share of the side that a random shift may come to. resized_crop: the least and the largest share of
        the image's area that a random crop may have, of ratio 3/4 to 4/3. flip: half of the images, left to right. policy:
        RandAugment (two operations of magnitude 9), AutoAugment (ImageNet's) or TrivialAugment. erasing: the probability
        that a rectangle is erased. mixup_alpha, cutmix_alpha: the beta distribution's; with both, a coin decides for each batch.
    Layers
        batch_norm_momentum: the weight of the newest batch in the running statistics, PyTorch's convention; None leaves the
        model's own. freeze_batch_norm: batch normalisations keep what the weights say, statistics, scale and shift, in training
        as well: a few images have no statistics of their own. classifier_init_std: the standard deviation of the normal
        distribution that a new classifier is drawn from, with a bias of zero; None leaves the library's own way.
    Loading
        loader_workers: how many processes load, on TensorFlow and JAX threads; 0 reads nothing ahead in parallel. None takes
        none for images in memory and one a core, up to 8, for files; on JAX one a core, on TensorFlow as many as it thinks best.
    """

    description: str
    epochs: Count
    head_epochs: Annotated[int, msgspec.Meta(ge=0)] = 0
    head_learning_rate: Positive | None = None
    early_stopping_epochs: Count | None = None
    optimizer: Literal["adam", "adamw", "sgd"]
    learning_rate: Positive
    attention_learning_rate: Positive | None = None
    weight_decay: NotNegative = 0.0
    schedule: Literal["constant", "cosine", "onecycle"] = "constant"
    warmup_epochs: NotNegative = 0.0
    accumulation_steps: Count = 1
    gradient_clipping: Positive | None = None
    average_decay: Share | None = None
    loss: Loss = "cross-entropy"
    label_smoothing: Share = 0.0
    crop_padding: Share = 0.0
    resized_crop: tuple[Positive, Positive] | None = None
    flip: bool = False
    policy: Policy | None = None
    erasing: Probability = 0.0
    mixup_alpha: Positive | None = None
    cutmix_alpha: Positive | None = None
    batch_norm_momentum: Momentum | None = None
    freeze_batch_norm: bool = False
    classifier_init_std: Positive | None = None
    loader_workers: Annotated[int, msgspec.Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        low, high = self.resized_crop or (1.0, 1.0)
        for wrong, why in (
            (self.crop_padding and self.resized_crop, "crop_padding and resized_crop exclude each other"),
            (not low <= high <= 1, "resized_crop goes from a smaller to a larger share of at most 1"),
            (self.schedule == "onecycle" and self.warmup_epochs, "onecycle has a warm-up of its own: no warmup_epochs"),
            (self.warmup_epochs >= self.epochs, "warmup_epochs must be fewer than epochs"),
            (self.head_epochs and self.head_learning_rate is None, "head_epochs needs head_learning_rate"),
            (
                self.freeze_batch_norm and self.batch_norm_momentum is not None,
                "freeze_batch_norm and batch_norm_momentum exclude each other",
            ),
            (self.optimizer == "adam" and self.weight_decay, "adam has no weight_decay; adamw has"),
            (self.several_labels and self.label_smoothing, "label_smoothing is of cross-entropy"),
        ):
            if wrong:
                raise ValueError(why)

    @property
    def several_labels(self) -> bool:
        """Whether the loss is one for images with several labels."""
        return self.loss != "cross-entropy"

    @property
    def rises(self) -> bool:
        """Whether the rate begins at a 25th of its highest."""
        return self.schedule == "onecycle" or self.warmup_epochs > 0

    def phases(self, steps_per_epoch: int) -> "tuple[Phase, ...]":
        """Return the phases of a training whose epochs have so many batches."""
        found = []
        if self.head_epochs:
            assert self.head_learning_rate is not None, "checked when the recipe was read"
            steps = self.head_epochs * steps_per_epoch // self.accumulation_steps
            found.append(
                Phase(trained="head", epochs=self.head_epochs, learning_rate=self.head_learning_rate, steps=steps)
            )
        found.append(
            Phase(
                trained="all",
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                steps=self.epochs * steps_per_epoch // self.accumulation_steps,
                warmup_steps=round(self.warmup_epochs * steps_per_epoch) // self.accumulation_steps,
            )
        )
        return tuple(found)


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a training with an optimizer and a schedule of its own; steps are the optimizer's."""

    trained: Literal["head", "all"]
    epochs: int
    learning_rate: float
    steps: int
    warmup_steps: int = 0


@cache
def recipe(name: str) -> Recipe:
    """Return a recipe that ships, or one of one's own by its path, which ends in .toml."""
    return read_toml(_path(name), Recipe)


def recipe_for(name: str, architecture: str) -> Recipe:
    """Return a recipe as it trains one architecture: the one learning rate that is in force, and none beside it."""
    said = recipe(name)
    if said.attention_learning_rate is None:
        return said
    rate = said.attention_learning_rate if model_card(architecture).attention else said.learning_rate
    return msgspec.structs.replace(said, learning_rate=rate, attention_learning_rate=None)


def recipe_names() -> tuple[str, ...]:
    return names(RECIPES)


@cache
def recipe_hash(name: str) -> str:
    return file_hash(_path(name))


def _path(name: str) -> Path:
    if name.endswith(".toml"):
        return Path(name)
    if name not in recipe_names():
        raise unknown("recipe", name, recipe_names(), "(a file of your own is given by its path, ending in .toml)")
    return RECIPES / f"{name}.toml"
