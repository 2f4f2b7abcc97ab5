"""The cache: where data sets lie that do not come with the installation, and what to do where one is missing."""

import os
from collections.abc import Sequence
from pathlib import Path

from bench.errors import Unavailable
from bench.plan.cards import DatasetCard, DatasetFile


def root() -> Path:
    """Return the folder of all downloaded data sets: $BENCH_DATA, or ~/.cache/imagebench/datasets."""
    said = os.environ.get("BENCH_DATA")
    return Path(said).expanduser() if said else Path.home() / ".cache" / "imagebench" / "datasets"


def folder(name: str) -> Path:
    """Return the folder of one data set's files."""
    return root() / name


def place(name: str, file: DatasetFile) -> Path:
    """Return what is there once a file is complete: the folder it was unpacked into, or the file itself."""
    return folder(name) / (file.into or file.name)


def missing(name: str, card: DatasetCard) -> tuple[DatasetFile, ...]:
    """Return the files of a data set that are not there yet."""
    return tuple(file for file in card.files if not place(name, file).exists())


def demand(name: str, card: DatasetCard) -> Path:
    """Return the folder of a data set that is there as a whole; raise `Unavailable` with the next command where it is not."""
    lacking = missing(name, card)
    if not lacking:
        return folder(name)
    if any(file.url is None for file in lacking):
        raise Unavailable(by_hand(name, lacking, card))
    size = sum(file.bytes or 0 for file in lacking) / 1e6
    raise Unavailable(
        f"{name} is not on this machine; type: bench download {name}{f' ({size:,.0f} MB)' if size else ''}"
    )


def by_hand(name: str, files: Sequence[DatasetFile], card: DatasetCard) -> str:
    """Return what a person has to fetch, where from, and where to put it."""
    listed = "; ".join(describe(file) for file in files)
    how = f" {card.by_hand}" if card.by_hand else ""
    return f"{name} is not on this machine. Put into {folder(name)}: {listed}. Then type: bench download {name}.{how}"


def describe(file: DatasetFile) -> str:
    """Return a file's name with its address and checksum, as far as there are any."""
    facts = [file.url or "", (file.checksum or "").replace(":", " ")]
    told = ", ".join(fact for fact in facts if fact)
    return f"{file.name} ({told})" if told else file.name
