"""What a recipe refuses."""

from pathlib import Path
from typing import Any

import pytest

from bench.errors import UsageError
from bench.plan.recipe import Recipe, recipe


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"crop_padding": 0.1, "resized_crop": (0.5, 1.0)}, "crop_padding and resized_crop exclude each other"),
        ({"resized_crop": (0.9, 0.5)}, "from a smaller to a larger share"),
        ({"schedule": "onecycle", "warmup_epochs": 1.0}, "onecycle has a warm-up of its own"),
        ({"warmup_epochs": 2.0}, "warmup_epochs must be fewer than epochs"),
        ({"head_epochs": 1}, "head_epochs needs head_learning_rate"),
        ({"freeze_batch_norm": True, "batch_norm_momentum": 0.1}, "freeze_batch_norm and batch_norm_momentum exclude"),
        ({"optimizer": "adam", "weight_decay": 0.1}, "adam has no weight_decay"),
        ({"loss": "bce", "label_smoothing": 0.1}, "label_smoothing is of cross-entropy"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], said: str):
    asked = {"description": "", "epochs": 2, "optimizer": "sgd", "learning_rate": 0.1}
    Recipe(**asked)
    with pytest.raises(ValueError, match=said):
        Recipe(**asked | changes)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("batch_norm_momentum = 30.0", "batch_norm_momentum"),
        ("batch_norm_momentum = -3.0", "batch_norm_momentum"),
        ("classifier_init_std = -1.0", "classifier_init_std"),
        ("mixup_alpha = inf", "mixup_alpha"),
        ("weight_decay = inf", "weight_decay"),
        ('schedule = "step"', "there are constant, cosine, onecycle"),
        ('policy = "autoaug"', "there are randaugment, autoaugment, trivialaugment"),
    ],
)
def test_a_value_that_nothing_can_train_with_is_refused_when_the_file_is_read(line: str, said: str, tmp_path: Path):
    file = tmp_path / "own.toml"
    usual = 'description = ""\nepochs = 2\noptimizer = "sgd"\nlearning_rate = 0.1\n'
    file.write_text(usual)
    recipe(str(file))
    file = tmp_path / "wrong.toml"
    file.write_text(usual + line)
    with pytest.raises(UsageError, match=said):
        recipe(str(file))
