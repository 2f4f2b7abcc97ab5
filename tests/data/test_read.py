"""Every card: its reader exists, its facts are those of the images, its checksums those that are published."""

import importlib
import re
from pathlib import Path

import pytest
import torchvision
from torchvision.datasets import imagenet, inaturalist, voc

from bench.data.read import read_dataset
from bench.errors import JobError, Unavailable
from bench.plan.cards import dataset_card, dataset_names

WITH_FILES = tuple(name for name in dataset_names() if dataset_card(name).files)
INSTALLED = tuple(name for name in dataset_names() if not dataset_card(name).files)


@pytest.mark.parametrize("name", INSTALLED)
def test_what_comes_with_the_installation_is_what_its_card_says(name: str):
    card, dataset = dataset_card(name), read_dataset(name, 8)
    splits = (dataset.training, dataset.validation, dataset.test)
    assert (len(dataset.classes), sum(map(len, splits))) == (card.classes, card.images)
    assert dataset.several_labels == card.several_labels


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_card_says_all_that_a_download_needs(name: str):
    card = dataset_card(name)
    module, _, function = card.reader.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    assert len({file.into or file.name for file in card.files}) == len(card.files)
    for file in card.files:
        assert re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", file.checksum or ""), file.name
        assert file.url is None or file.url.endswith(f"/{file.name}")
        packed = file.name.endswith((".tgz", ".tar.gz", ".tar", ".zip"))
        assert packed == (file.into is not None)
    assert card.checksums
    assert (card.by_hand is not None) == any(file.url is None for file in card.files)


@pytest.mark.parametrize("name", WITH_FILES)
def test_what_is_not_there_is_unavailable_with_the_command_to_type(data_cache: Path, name: str):
    with pytest.raises(Unavailable, match=f"bench download {name}"):
        read_dataset(name, 8)
    assert not data_cache.exists()


@pytest.mark.parametrize("name", WITH_FILES)
def test_files_laid_out_otherwise_are_said_with_what_was_expected(data_cache: Path, name: str):
    for file in dataset_card(name).files:
        place = data_cache / name / (file.into or file.name)
        place.mkdir(parents=True) if file.into else place.touch()
    with pytest.raises(JobError, match=re.escape(str(data_cache / name))):
        read_dataset(name, 8)


def test_a_folder_that_may_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(JobError, match=f"{re.escape(str(tmp_path))}: Permission denied$"):
        read_dataset(f"folder:{tmp_path}", 8)


def published() -> dict[str, dict[str, str]]:
    """Return the checksums that torchvision has in its source, by data set and file."""
    there = torchvision.datasets
    pets = {url.rpartition("/")[2]: md5 for url, md5 in there.OxfordIIITPet._RESOURCES}
    sizes = {"imagenette": "320px", "imagenette-160": "160px"}
    years = [voc.DATASET_YEAR_DICT[year] for year in ("2007", "2007-test")]
    return {
        "cifar10": {there.CIFAR10.filename: there.CIFAR10.tgz_md5},
        "cifar100": {there.CIFAR100.filename: there.CIFAR100.tgz_md5},
        "flowers102": dict(there.Flowers102._file_dict.values()),
        "food101": {"food-101.tar.gz": there.Food101._MD5},
        "oxford-iiit-pet": pets,
        "inaturalist": {
            "train_mini.tar.gz": inaturalist.DATASET_MD5["2021_train_mini"],
            "val.tar.gz": inaturalist.DATASET_MD5["2021_valid"],
        },
        "imagenet": dict(imagenet.ARCHIVE_META.values()),
        "voc2007": {year["filename"]: year["md5"] for year in years},
        "celeba": {name: md5 for _, md5, name in there.CelebA.file_list},
        **{
            name: {there.Imagenette._ARCHIVES[size][0].rpartition("/")[2]: there.Imagenette._ARCHIVES[size][1]}
            for name, size in sizes.items()
        },
    }


@pytest.mark.parametrize("name", sorted(set(WITH_FILES) - {"eurosat", "stanford-dogs"}))
def test_checksums_are_torchvisions(name: str):
    """EuroSAT's stands inside a function there, and Stanford Dogs it does not have."""
    known = published()[name]
    for file in dataset_card(name).files:
        assert file.checksum == f"md5:{known[file.name]}"
