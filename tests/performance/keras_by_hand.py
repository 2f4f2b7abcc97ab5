"""bench's Keras trial against a plain Keras model, in turn: `keras_by_hand.py training|inference PAIRS`, KERAS_BACKEND set.

PYTHONPATH names the checkout and its tests.

By hand: `fit` on batches that lie on the device, and `predict_on_batch`. Prints one ratio a pair, as JSON.
"""

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import msgspec
from conftest import CELL

from bench.data.read import read_dataset
from bench.frameworks.keras import build
from bench.frameworks.trial import Request
from bench.measure.timing import rotating, time_blocks
from bench.plan.cards import framework_model
from bench.plan.protocol import Protocol
from bench.plan.recipe import recipe
from bench.records.environment import physical_cores

BATCH, SIZE, SECONDS = 32, 64, 1.5
ONE_BLOCK = Protocol(warmup_steps=1, warmup_seconds=1e-9, warmup_at_most_seconds=1e-9, blocks=1)
BACKEND = keras.backend.backend()


def main(kind: str, pairs: int) -> None:
    cell = msgspec.structs.replace(
        CELL,
        architecture="mobilenet_v3_small",
        framework=f"keras-{BACKEND}",
        execution="eager" if BACKEND == "torch" else "compiled",
        batch_size=BATCH,
        image_size=SIZE,
        recipe="baseline",
    )
    model = framework_model(cell.architecture, cell.framework)
    assert model is not None
    request = Request(cell=cell, model=model, recipe=recipe("baseline"), classes=10, seed=0, threads=physical_cores())
    trial = build(request)
    digits = read_dataset("digits", SIZE).training
    batches = [trial.place(digits.images[i : i + BATCH], digits.labels[i : i + BATCH]) for i in range(0, 128, BATCH)]
    step = rotating(batches, trial.train_step if kind == "training" else trial.predict)

    def ours() -> float:
        blocks = time_blocks(step, trial.synchronize, ONE_BLOCK, SECONDS)
        return blocks.images_per_second(BATCH)

    by_hand = by_hand_loop(kind, batches)
    ours(), by_hand()
    ratios = []
    for pair in range(pairs):
        rates = {side: side() for side in ((ours, by_hand) if pair % 2 else (by_hand, ours))}
        ratios.append(rates[ours] / rates[by_hand])
    print(json.dumps(ratios))


def by_hand_loop(kind: str, batches: list[Any]) -> Callable[[], float]:
    """Return a function that runs a plain Keras model for about a block and returns images a second."""
    network = keras.applications.MobileNetV3Small(
        input_shape=(SIZE, SIZE, 3),
        weights=None,
        classes=10,
        classifier_activation=None,
        include_preprocessing=False,
    )
    network.compile(
        optimizer=keras.optimizers.AdamW(1.6e-4, weight_decay=0.05),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
    )

    def fit(steps: int) -> None:
        network.fit(_data(batches, steps), steps_per_epoch=steps, verbose=0)

    def predict(steps: int) -> None:
        for images, _ in itertools.islice(itertools.cycle(batches), steps):
            network.predict_on_batch(images)

    run = fit if kind == "training" else predict
    for _ in range(2):  # The first compiles.
        begun = time.perf_counter()
        run(8)
        steps = max(8, round(8 * SECONDS / (time.perf_counter() - begun)))

    def timed() -> float:
        begun = time.perf_counter()
        run(steps)
        return BATCH * steps / (time.perf_counter() - begun)

    return timed


def _data(batches: list[Any], steps: int) -> Any:
    if BACKEND == "tensorflow":
        import tensorflow as tf

        images, labels = (tf.stack(parts) for parts in zip(*batches, strict=True))
        return tf.data.Dataset.from_tensor_slices((images, labels)).repeat().take(steps).prefetch(tf.data.AUTOTUNE)
    return _cycle(batches, steps)


def _cycle(batches: list[Any], steps: int) -> Iterator[Any]:
    yield from itertools.islice(itertools.cycle(batches), steps)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
