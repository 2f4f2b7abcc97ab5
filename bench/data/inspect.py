"""Inspection: what a data set holds, and what of it is wrong before a training starts."""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from PIL import Image

from bench.data.dataset import Dataset, FileSplit, Split
from bench.data.decode import decode, orientation
from bench.data.labels import images_of_classes, label_problems
from bench.data.overlaps import counted, overlaps
from bench.errors import JobError

_SHOWN = 20  # Images that are named of one fault; all are counted.
_SMALL = 8


class SplitSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One split: its images, in all and of each class, and its hash.

    `counts` is empty where the labels are wrong, `hash` None where a file is not there.
    """

    name: str
    images: int
    counts: tuple[int, ...]
    hash: str | None


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen: `sizes` are the smallest, the median and the largest by pixels; `modes` and `notes` are no faults."""

    classes: tuple[str, ...]
    several_labels: bool
    splits: tuple[SplitSummary, ...]
    sizes: tuple[tuple[int, int], ...]
    modes: dict[str, int]
    notes: tuple[str, ...]
    faults: tuple[str, ...]


class _Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one file is: width and height as it is stored, its mode, whether it is turned, or what is wrong with it."""

    size: tuple[int, int] = (0, 0)
    mode: str = ""
    turned: bool = False
    problem: str | None = None


_TINY, _NARROW = 16, 3
_MEANINGS = {
    "1": "black and white; read as grey in three channels",
    "L": "grey; read as three equal channels",
    "LA": "grey with transparency; read as lying on white",
    "P": "of a palette; read as RGB, what is transparent on white",
    "RGBA": "RGB with transparency; read as lying on white",
    "CMYK": "CMYK, made for print; read as RGB without a colour profile",
    "16 bits": "of 16 bits a channel; read as 8",
}


def inspect(dataset: Dataset) -> Inspection:
    """Look at every label and decode every image of a data set."""
    parts = {"training": dataset.training, "validation": dataset.validation, "test": dataset.test}
    faults = list(label_problems(dataset))
    looks = [look for split in parts.values() for look in _looks(split)]
    broken = [look.problem for look in looks if look.problem]
    if broken:
        faults.append(_named(f"{len(broken)} of {len(looks)} images cannot be decoded", broken))
    twice = overlaps(dataset, pixels=True)
    if twice:
        faults.append(_named(counted(twice), [f"{one.kind}: {one.described}" for one in twice]))
    good = [look for look in looks if not look.problem]
    modes = Counter(look.mode for look in good)
    return Inspection(
        classes=dataset.classes,
        several_labels=dataset.several_labels,
        splits=tuple(_summary(name, split, dataset) for name, split in parts.items()),
        sizes=_sizes(good),
        modes=dict(modes.most_common()),
        notes=_notes(good, modes),
        faults=tuple(faults),
    )


def _named(said: str, each: Sequence[str]) -> str:
    """Return a fault with what it is about a line each, of many the first."""
    more = [f"and {len(each) - _SHOWN} more"] if len(each) > _SHOWN else []
    return "\n  ".join([f"{said}:", *each[:_SHOWN], *more])


def _summary(name: str, split: Split, dataset: Dataset) -> SplitSummary:
    counts = () if label_problems(dataset) else tuple(images_of_classes(split, len(dataset.classes)).tolist())
    try:
        digest = split.hash()
    except JobError:  # A file is not there, which is told with those that cannot be decoded.
        digest = None
    return SplitSummary(name=name, images=len(split), counts=counts, hash=digest)


def _looks(split: Split) -> list[_Look]:
    if not isinstance(split, FileSplit):
        return []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(_look, split.files))


def _look(file: Path) -> _Look:
    try:
        decode(file, _SMALL)  # To its end, for a file that is cut short opens all the same.
    except JobError as error:
        return _Look(problem=str(error))
    with Image.open(file) as image:
        deep = image.mode.startswith("I") or any("16" in str(tile[3]) for tile in image.tile)
        return _Look(size=image.size, mode="16 bits" if deep else image.mode, turned=orientation(image) > 1)


def _sizes(looks: list[_Look]) -> tuple[tuple[int, int], ...]:
    ordered = sorted((look.size for look in looks), key=lambda size: size[0] * size[1])
    return (ordered[0], ordered[len(ordered) // 2], ordered[-1]) if ordered else ()


def _notes(looks: list[_Look], modes: Counter[str]) -> tuple[str, ...]:
    found = [
        f"{count} of {len(looks)} images are {_MEANINGS.get(mode, f'of the mode {mode}; read as RGB')}"
        for mode, count in modes.most_common()
        if mode != "RGB"
    ]
    turned = sum(look.turned for look in looks)
    if turned:
        found.append(f"{turned} of {len(looks)} images are turned or mirrored by their EXIF tag; read upright")
    tiny = sum(min(look.size) < _TINY for look in looks)
    if tiny:
        found.append(f"{tiny} of {len(looks)} images have a side of fewer than {_TINY} pixels; enlarged")
    narrow = sum(max(look.size) > _NARROW * min(look.size) for look in looks)
    if narrow:
        found.append(
            f"{narrow} of {len(looks)} images are more than {_NARROW} times as long as wide; only their middle is read"
        )
    return tuple(found)
