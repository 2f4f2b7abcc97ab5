"""Cards: the facts about an architecture or a dataset, one TOML file each, no Python."""

from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench.errors import UsageError, unknown
from bench.frameworks import library
from bench.plan.files import cards_folder, file_hash, folder_hash, names, read_toml


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Figures from elsewhere, with where they stand; None is not published.

    Top-1 and top-5 are percent on ImageNet-1k's validation set.
    """

    source: str
    parameters: int
    multiply_accumulates: int | None = None
    top1_percent: float
    top5_percent: float | None = None


class PublishedRate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Images a second from elsewhere, of images of the architecture's own size, on one GPU as NVML names it.

    `setting`: what else it was measured in, in words; `source`: who says so.
    """

    measurement: Literal["training", "inference"]
    gpu: str
    precision: str
    execution: Literal["eager", "compiled"]
    images_per_second: float
    setting: str
    source: str


class Pixels(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What pretrained weights expect: (pixel - mean) / std per channel of pixels in [0, 255], in this order of channels."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    order: Literal["rgb", "bgr"] = "rgb"


class FrameworkModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one framework calls the architecture.

    `weights` names the pretrained weights, `arguments` goes to the model's constructor, `image_size_argument` is the
    argument of a model that must be told the size of its images, and `note` says in what it is not the published model.
    `differences` says, trait by trait, in what it is not the network of the first framework, and why; `bench doctor
    --parity` holds every other trait to be the same. `pixels` is what the pretrained weights expect where the library does
    not say it itself, and `input_scale` what the network divides its input by before its first layer.
    `published` is what the library publishes of those weights; the first framework's stands on the card itself.
    """

    model: str
    weights: str | None = None
    arguments: dict[str, Any] = {}
    image_size_argument: str | None = None
    note: str | None = None
    differences: dict[str, str] = {}
    pixels: Pixels | None = None
    input_scale: float = 1.0
    published: Published | None = None


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One architecture.

    `image_size` is the side in pixels it is published for, `minimum_image_size` the least it takes. `attention` says that
    its images are patches that attend to each other; a recipe may have a learning rate of its own for such networks.
    """

    title: str
    paper: str
    image_size: int
    minimum_image_size: int
    attention: bool = False
    published: Published | None = None
    published_rates: tuple[PublishedRate, ...] = ()
    best_for: str | None = None
    frameworks: dict[str, FrameworkModel]


class DatasetFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a data set as its authors hand it out.

    Without `url` it must be fetched by hand. `checksum` is "md5:…" or "sha256:…" as published, or None where nobody
    publishes one. An archive is unpacked into the folder `into`; `nested` says that it holds one archive a class.
    """

    name: str
    url: str | None = None
    bytes: int | None = None
    checksum: str | None = None
    into: str | None = None
    nested: bool = False


class DatasetCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One dataset.

    `source` says who made it and when, `url` where they say so, `splits` which splits are the authors' own.
    `reader` is 'module:function'; it takes the folder of the files, if there are any, the image size in pixels, and
    `arguments`. `image_size` is the side in pixels to train at, where that is not the architecture's own. `checksums` says
    who publishes the checksums, `by_hand` how to come by a file without an address.
    """

    title: str
    source: str
    url: str
    license: str
    classes: int
    images: int
    several_labels: bool = False
    image_size: int | None = None
    splits: str
    reader: str
    arguments: dict[str, Any] = {}
    files: tuple[DatasetFile, ...] = ()
    checksums: str | None = None
    by_hand: str | None = None


@cache
def model_card(name: str) -> ModelCard:
    """Return an architecture's card; `framework/model` is a model of one framework that has no card of its own."""
    framework, slash, model = name.partition("/")
    if slash:
        return ModelCard(
            title=model,
            paper="",
            image_size=224,
            minimum_image_size=32,
            frameworks={library(framework): FrameworkModel(model=model)},
        )
    if name not in model_names():
        raise unknown("architecture", name, model_names(), "(a timm model without a card is written timm/NAME)")
    return read_toml(cards_folder("models") / f"{name}.toml", ModelCard)


def framework_model(architecture: str, framework: str) -> FrameworkModel | None:
    """Return how a framework calls an architecture, or None where its card says nothing of the framework."""
    return model_card(architecture).frameworks.get(library(framework))


def published(architecture: str, framework: str) -> Published | None:
    """Return what is published of the weights that a framework's section names; the card's own figures are the first's."""
    card, own = model_card(architecture), framework_model(architecture, framework)
    if own is None:
        return None
    return card.published if own is next(iter(card.frameworks.values())) else own.published


def model_names() -> tuple[str, ...]:
    return names(cards_folder("models"))


@cache
def model_card_hash(name: str) -> str | None:
    """Return the hash of an architecture's card, or None where it has none."""
    return None if "/" in name else file_hash(cards_folder("models") / f"{name}.toml")


def own_images(name: str) -> tuple[str, Path | None]:
    """Return 'folder' or 'csv' with the path of folder:PATH or csv:PATH; a data set with a card has no path."""
    kind, _, path = name.partition(":")
    return (kind, Path(path)) if kind in ("folder", "csv") and path else ("card", None)


def check_dataset(name: str) -> None:
    """Raise `UsageError` where a name is neither a card's, nor a folder or a CSV that is there."""
    kind, path = own_images(name)
    if path is None:
        dataset_card(name)
    elif kind == "folder" and not path.is_dir():
        raise UsageError(f"{name}: no such folder")
    elif kind == "csv" and not path.is_file():
        raise UsageError(f"{name}: no such file")


@cache
def dataset_card(name: str) -> DatasetCard:
    if name not in dataset_names():
        raise unknown("dataset", name, dataset_names(), "(images of your own are written folder:PATH or csv:PATH)")
    return read_toml(cards_folder("datasets") / f"{name}.toml", DatasetCard)


@cache
def dataset_hash(name: str) -> str:
    """Return the hash of a dataset's card, of the listing of a folder of images, or of a CSV of labels."""
    kind, path = own_images(name)
    if path is not None:
        return folder_hash(path) if kind == "folder" else file_hash(path)
    return file_hash(cards_folder("datasets") / f"{name}.toml")


def dataset_names() -> tuple[str, ...]:
    return names(cards_folder("datasets"))
