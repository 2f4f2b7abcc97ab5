"""How fast pictures become batches, and what transfer learning is worth. Run with `make benchmark-training`."""

import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from conftest import CELL
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn.datasets import load_sample_images
from test_speed import told
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from bench.data.folder import read_folder
from bench.data.read import read_dataset
from bench.frameworks.pytorch import TorchTrial
from bench.frameworks.torchvision import build
from bench.frameworks.trial import Request
from bench.measure.accuracy import tested
from bench.measure.fit import fit
from bench.plan.cards import framework_model
from bench.plan.recipe import Recipe, recipe
from bench.records.accuracy import Accuracy

PICTURES, SIZE, BATCH, WORKERS, ROUNDS = 2000, 224, 64, 2, 5
SEEDS = range(10, 15)  # Others than those that `transfer` was tried out with.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of JPEGs of 500 × 375 px in ten classes: parts of the two photographs that scikit-learn ships."""
    folder = tmp_path_factory.mktemp("pictures")
    photographs, random = load_sample_images().images, np.random.default_rng(0)
    for number in range(PICTURES):
        photograph = photographs[number % 2]
        height, width = (int(side * random.uniform(0.5, 1)) for side in photograph.shape[:2])
        top, left = (
            int(random.integers(0, whole - part + 1))
            for whole, part in zip(photograph.shape, (height, width), strict=False)
        )
        part = Image.fromarray(photograph[top : top + height, left : left + width]).resize((500, 375))
        place = folder / "train" / f"class-{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        part.save(place / f"{number}.jpg", quality=90)
        if number < 20:  # Only so that there is a test split.
            (folder / "val" / place.name).mkdir(parents=True, exist_ok=True)
            part.save(folder / "val" / place.name / f"{number}.jpg", quality=90)
    return folder


def trial(dataset: str, said: Recipe, *, classes: int, seed: int = 0, **cell: Any) -> TorchTrial:
    asked = {
        "architecture": "mobilenet_v3_small",
        "framework": "torchvision",
        "image_size": 40,
        "dataset": dataset,
        **cell,
    }
    request = Request(
        cell=msgspec.structs.replace(CELL, **asked),
        model=framework_model(asked["architecture"], "torchvision"),
        recipe=said,
        classes=classes,
        seed=seed,
        threads=2,
    )
    return build(request)


def reference(folder: Path) -> Iterable[Any]:
    """Return the loader of torchvision's reference training of classifiers, its preset for Pillow, over a folder."""
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(SIZE, antialias=True),
            v2.RandomHorizontalFlip(0.5),
            v2.PILToTensor(),
            v2.ToDtype(torch.float, scale=True),
            v2.Normalize(MEAN, STD),
            v2.ToPureTensor(),
        ]
    )
    return torch.utils.data.DataLoader(
        ImageFolder(folder, transform),
        batch_size=BATCH,
        shuffle=True,
        num_workers=WORKERS,
        pin_memory=True,
        drop_last=True,
    )


def images_per_second(batches: Callable[[], Iterable[Any]]) -> float:
    begun, images = time.perf_counter(), 0
    for batch, _ in batches():
        images += len(batch)
    return images / (time.perf_counter() - begun)


def test_the_loader_is_faster_than_torchvisions_reference(benchmark: BenchmarkFixture, pictures: Path):
    dataset = read_folder(pictures, SIZE, share=0.01)
    said = msgspec.structs.replace(
        recipe("baseline"), crop_padding=0.0, resized_crop=(0.08, 1.0), flip=True, loader_workers=WORKERS
    )
    one = trial("folder:pictures", said, classes=10, image_size=SIZE, batch_size=BATCH)
    ratios = []
    for round_ in range(ROUNDS):
        rates = {}
        for name in ("ours", "reference") if round_ % 2 else ("reference", "ours"):
            batches = (
                (lambda: one.loader(dataset.training, 0)) if name == "ours" else lambda: reference(pictures / "train")
            )
            rates[name] = images_per_second(batches)
        ratios.append(rates["ours"] / rates["reference"])
    ratio = statistics.median(ratios)
    told(
        benchmark,
        f"{PICTURES:,} JPEGs of 500 × 375 px to normalised, augmented batches of {BATCH} × {SIZE} px, {WORKERS} workers, "
        "`bench` over torchvision's reference loader",
        f"{ratio:.2f}",
        "1.3 or more",
    )
    benchmark.extra_info["compared"] = f"{ROUNDS} rounds in turn, from {min(ratios):.2f} to {max(ratios):.2f}"
    assert ratio >= 1.3


def trained(dataset: str, said: Recipe, seed: int, **cell: Any) -> tuple[TorchTrial, float]:
    """Return a trial trained by a recipe on a data set, and its top-1 on the test split."""
    data = read_dataset(dataset, 40)
    one = trial(dataset, said, classes=len(data.classes), seed=seed, **cell)
    fitted = fit(one, data, said, one.batch_size, seed=seed)
    figures = tested(one, data, fitted, one.logits(data.test), overlapping=0)
    assert isinstance(figures, Accuracy)
    return one, figures.test_top1


def test_transfer_beats_training_from_scratch(benchmark: BenchmarkFixture, tmp_path: Path):
    """In as many epochs: by `baseline` as it is, with batch normalisation's running statistics made to follow faster, and by the
    source's own recipe with such.

    In so few steps they do not arrive at the usual weight, and the first alone would be a poor opponent. How far training
    from scratch comes in four times the epochs is told beside.
    """
    transfer, baseline, augmented = (recipe(name) for name in ("transfer", "baseline", "augmented"))
    epochs = transfer.epochs + transfer.head_epochs
    scratch = {
        "by `baseline`": msgspec.structs.replace(baseline, epochs=epochs),
        "with `batch_norm_momentum` 0.3": msgspec.structs.replace(baseline, epochs=epochs, batch_norm_momentum=0.3),
        "by `augmented` with 0.3": msgspec.structs.replace(augmented, epochs=epochs, batch_norm_momentum=0.3),
        "in four times the epochs": msgspec.structs.replace(baseline, epochs=4 * epochs),
    }
    train = partial(trained, architecture="efficientnet_b0")
    found: dict[str, list[float]] = {name: [] for name in ("transferred", *scratch)}
    for seed in SEEDS:
        weights = tmp_path / f"{seed}.safetensors"
        source, _ = train("digits-lower", augmented, seed, batch_size=64)
        source.save(weights)
        found["transferred"].append(train("digits-upper-few", transfer, seed, batch_size=8, weights=str(weights))[1])
        for name, said in scratch.items():
            found[name].append(train("digits-upper-few", said, seed, batch_size=8)[1])
    means = {name: statistics.fmean(scores) for name, scores in found.items()}
    gain = means["transferred"] - max(means[name] for name, said in scratch.items() if said.epochs == epochs)
    told(
        benchmark,
        "EfficientNet-B0 trained on the digits 0 to 4, transferred to 5 to 9 with 5 images of each: top-1 above the best of "
        f"three trainings from scratch in as many epochs, mean of {len(SEEDS)} seeds",
        f"{100 * gain:.1f} points",
        "5 or more",
    )
    benchmark.extra_info["compared"] = "; ".join(
        f"{name} {100 * means[name]:.1f} % ({', '.join(f'{100 * score:.1f}' for score in scores)})"
        for name, scores in found.items()
    )
    assert gain >= 0.05
