"""Single steps of a Keras model, as `Model.fit` and `Model.predict` take them, with nothing brought to the host."""

from collections.abc import Callable
from typing import Any, Protocol

import keras

Batch = tuple[Any, Any]
STEP_LOSS = "step_loss"


class Steps(Protocol):
    """What a backend does for one batch."""

    def train(self, batch: Batch) -> Any: ...

    def predict(self, images: Any) -> Any: ...

    def settle(self) -> None:
        """Bring the network's variables up to date with the steps taken."""

    def synchronize(self) -> None: ...


def first_step(network: keras.Model, batch: Batch) -> Any:
    """Take the step that builds what a step needs; until then the optimizer's moments take no memory from a prediction."""
    build_optimizer(network)
    return network.train_on_batch(*batch, return_dict=True)[STEP_LOSS]


def build_optimizer(network: keras.Model) -> None:
    """Make the optimizer's variables, once; else TensorFlow traces the first step twice, once to make them."""
    if not network.optimizer.built:
        network.optimizer.build(network.trainable_variables)


def held_values(network: keras.Model) -> tuple[list[Any], list[Any]]:
    """Return what the variables hold: those that train, and the rest."""
    trained, rest = network.trainable_variables, network.non_trainable_variables
    return [variable.value for variable in trained], [variable.value for variable in rest]


def batch_loss(network: keras.Model, trained: list[Any], rest: list[Any], batch: Batch) -> Any:
    """Return the loss of a batch in training mode, a function of what the variables hold; they themselves stay."""
    images, shares = batch
    logits, _ = network.stateless_call(trained, rest, images, training=True)
    return network.loss(shares, logits)


class FunctionSteps:
    """The functions that `fit` and `predict` call for each batch, of a backend whose variables are always up to date.

    `train_on_batch` would bring the logs to the host.
    """

    def __init__(self, network: keras.Model, synchronize: Callable[[], None]) -> None:
        self.network = network
        self.synchronize = synchronize

    def train(self, batch: Batch) -> Any:
        if self.network.train_function is None:
            return first_step(self.network, batch)
        return self.network.train_function([(*batch, None)])[STEP_LOSS]

    def predict(self, images: Any) -> Any:
        self.network.make_predict_function()
        return self.network.predict_function([(images,)])

    def settle(self) -> None:
        """There is nothing to bring up to date."""
