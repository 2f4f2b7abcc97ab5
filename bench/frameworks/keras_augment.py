"""Augmentation in Keras, by its own layers; all that is drawn hangs on the seeds that are given, so that order does not count."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from bench.data.dataset import Split
from bench.data.decode import Choose, scaler
from bench.errors import Unsupported
from bench.frameworks.keras_network import Normalisation
from bench.frameworks.trial import Images, Request
from bench.plan.recipe import CROP_RATIO, Recipe

# How far torchvision's RandAugment goes at its magnitude of 9 in 30; it draws the sign, Keras what is between.
_SHEAR, _SHIFT, _TURN, _CHANGE = 0.09, 0.3 * 150 / 331, 9 / 360, 0.27
_KEPT_BITS, _SOLARIZED_FROM = 7, 0.7 * 255
_ATTEMPTS = 10
# So far are the seeds of one layer's images apart; none draws as often.
_DRAWS = 64
_PRIME = 1_000_003


class Augmentation:
    """What is done to images in a batch, and then to the batch; a function of its arguments, which a backend may compile."""

    def __init__(self, recipe: Recipe, image_size: int, normalisation: Normalisation) -> None:
        self.normalisation = normalisation
        self.of_images = _of_images(recipe)
        self.of_batches = _of_batches(recipe)
        self.coin = keras.random.SeedGenerator(0)
        for layer in (*self.of_images, *self.of_batches):
            layer.build((None, image_size, image_size, 3))

    def __bool__(self) -> bool:
        return bool(self.of_images or self.of_batches)

    def __call__(self, images: Any, shares: Any, numbers: Any, seed: Any) -> tuple[Any, Any]:
        """Return pixels and shares of the classes of images, uint8 or float in [n, size, size, 3], with these numbers."""
        seed, numbers = (ops.cast(one, self.coin.state.dtype) for one in (seed, numbers))
        if self.of_images:  # TensorFlow's vectorised map fails in RandAugment.
            each = ops.map if keras.backend.backend() == "tensorflow" else ops.vectorized_map
            images = each(lambda one: self._image(one[0], one[1], seed), (images, numbers))
        pixels = self.normalisation(images)
        return self._mixed(pixels, shares, numbers[0], seed) if self.of_batches else (pixels, shares)

    def _image(self, image: Any, number: Any, seed: Any) -> Any:
        batch = ops.cast(image, "float32")[None]
        with _drawing(_generators(self.of_images), number, seed):
            for layer in self.of_images:  # Of a batch RandAugment would do the same to every image.
                batch = layer(batch, training=True)
        return batch[0]

    def _mixed(self, pixels: Any, shares: Any, number: Any, seed: Any) -> tuple[Any, Any]:
        with _drawing([*_generators(self.of_batches), self.coin.state], number, seed + _PRIME // 2):
            first, *other = (layer({"images": pixels, "labels": shares}, training=True) for layer in self.of_batches)
            heads = keras.random.uniform((), seed=self.coin) < 0.5
        mixed = [ops.where(heads, first[key], other[0][key]) if other else first[key] for key in ("images", "labels")]
        return mixed[0], mixed[1]


def _of_images(recipe: Recipe) -> list[keras.layers.Layer]:
    layers, common = keras.layers, {"dtype": "float32"}
    if recipe.policy not in (None, "randaugment"):
        raise Unsupported(f'Keras has no layer for {recipe.policy}; it has RandAugment: policy = "randaugment"')
    found = []
    if recipe.flip:
        found.append(layers.RandomFlip("horizontal", **common))
    if recipe.policy:
        found.append(rand_augment())
    if recipe.erasing:  # Of a single number it would draw a probability up to it.
        found.append(layers.RandomErasing((recipe.erasing, recipe.erasing), fill_value=0, **common))
    return found


def rand_augment() -> keras.layers.Layer:
    """Return Keras's layer with torchvision's strengths; one strength for all of its operations turns images by up to 108°."""
    layer = keras.layers.RandAugment((0, 255), num_ops=2, dtype="float32")
    layer.random_shear.x_factor = layer.random_shear.y_factor = (-_SHEAR, _SHEAR)
    shift = layer.random_translation
    shift.height_lower, shift.height_upper, shift.width_lower, shift.width_upper = (-_SHIFT, _SHIFT) * 2
    layer.random_rotation.factor = (-_TURN, _TURN)
    for moved in (layer.random_shear, shift, layer.random_rotation):
        moved.fill_mode = "constant"
    layer.random_brightness.factor = layer.random_color_degeneration.factor = (-_CHANGE, _CHANGE)
    layer.random_contrast.factor = (_CHANGE, _CHANGE)  # What one may lose, and gain.
    layer.random_sharpness.factor = ((1 - _CHANGE) / 2, (1 + _CHANGE) / 2)  # An image as it is has one half.
    layer.random_posterization.factor = (_KEPT_BITS, _KEPT_BITS)
    # It draws between the first, and 255 times the second.
    layer.solarization.addition_factor, layer.solarization.threshold_factor = (
        (0, 0),
        (_SOLARIZED_FROM, _SOLARIZED_FROM / 255),
    )
    if keras.backend.backend() == "jax":
        layer.equalization._custom_histogram_fixed_width = histogram
    return layer


def _of_batches(recipe: Recipe) -> list[keras.layers.Layer]:
    found = []
    if recipe.mixup_alpha:
        found.append(keras.layers.MixUp(recipe.mixup_alpha, dtype="float32"))
    if recipe.cutmix_alpha:
        if recipe.cutmix_alpha > 1:
            raise Unsupported(f"Keras's CutMix takes a cutmix_alpha of at most 1, not {recipe.cutmix_alpha}")
        found.append(keras.layers.CutMix((recipe.cutmix_alpha, recipe.cutmix_alpha), dtype="float32"))
    return found


def histogram(values: Any, value_range: tuple[int, int], nbins: int) -> Any:
    """Return how many values fall to each whole number; Keras's own for JAX is a loop over them that compiles for a minute."""
    numbers = ops.clip(ops.cast(ops.reshape(values, [-1]), "int32"), *value_range)
    return ops.segment_sum(ops.ones_like(numbers), numbers, num_segments=nbins)


def _generators(layers: list[keras.layers.Layer]) -> list[keras.Variable]:
    return [variable for layer in layers for variable in layer.variables]


def _drawing(states: list[keras.Variable], number: Any, seed: Any) -> Any:
    """Return a scope in which each generator begins at a state of its own for this number and seed."""
    begun = [ops.stack([seed + place * _PRIME, number * _DRAWS]) for place in range(len(states))]
    return keras.StatelessScope(state_mapping=list(zip(states, begun, strict=True)))


def read(split: Split, request: Request, chosen: NDArray[np.int64], random: np.random.Generator) -> Images:
    """Return the images at `chosen`, uint8 in [n, size, size, 3], cut to random boxes where the recipe says so."""
    share = request.recipe.resized_crop
    if share is None:
        return split.batch(chosen)
    return split.crop(chosen, random_box(share, random), scaler(request.cell.image_size))


def random_box(scale: tuple[float, float], random: np.random.Generator) -> Choose:
    """Return what chooses a box of a share of an image's area: the crop of Szegedy et al. 2015 as torchvision draws it."""
    least, largest = CROP_RATIO

    def choose(height: int, width: int) -> tuple[int, int, int, int]:
        for _ in range(_ATTEMPTS):
            area = height * width * random.uniform(*scale)
            ratio = math.exp(random.uniform(math.log(least), math.log(largest)))
            wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < wide <= width and 0 < tall <= height:
                return int(random.integers(height - tall + 1)), int(random.integers(width - wide + 1)), tall, wide
        tall, wide = min(height, round(width / least)), min(width, round(height * largest))
        return (height - tall) // 2, (width - wide) // 2, tall, wide

    return choose
