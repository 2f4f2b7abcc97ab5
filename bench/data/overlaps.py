"""Exact duplicates: the same image in two splits, by which a model is tested on what it learnt."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from PIL import Image, ImageOps

from bench.data.dataset import Dataset, FileSplit, PixelSplit, Split, image_name

_BLOCK = 256
_PIECE = 1024
Kind = Literal["bytes", "pixels"]
Place = tuple[str, int]


class Overlap(msgspec.Struct, frozen=True, kw_only=True):
    """One image that is in two splits: the same file byte for byte, or the same pixels once decoded."""

    kind: Kind
    splits: tuple[str, str]
    images: tuple[str, str]

    @property
    def described(self) -> str:
        """Both places by name."""
        return " and ".join(f"{image} ({split})" for image, split in zip(self.images, self.splits, strict=True))


def overlaps(dataset: Dataset, *, pixels: bool = False) -> tuple[Overlap, ...]:
    """Return every image of a split that is in an earlier split too, with the first such image there.

    Files are compared by their bytes, of those alone that have the same size, so that it takes seconds; with `pixels`
    every file is decoded at its own size and compared by its pixels too. Images in arrays are compared by their pixels.
    """
    parts = {"training": dataset.training, "validation": dataset.validation, "test": dataset.test}
    by_bytes = list(_pairs(_by_bytes(parts), parts, "bytes"))
    told = {(overlap.splits, overlap.images[1]) for overlap in by_bytes}
    by_pixels = _pairs(_by_pixels(parts, files=pixels), parts, "pixels")
    return (*by_bytes, *(overlap for overlap in by_pixels if (overlap.splits, overlap.images[1]) not in told))


def overlapping_images(found: tuple[Overlap, ...]) -> int:
    """Return how many images are in an earlier split too, each once."""
    return len({(overlap.splits[1], overlap.images[1]) for overlap in found})


def counted(found: tuple[Overlap, ...]) -> str:
    """Return how many duplicates there are of which kind."""
    kinds = {kind: sum(overlap.kind == kind for overlap in found) for kind in ("bytes", "pixels")}
    said = " and ".join(f"{count} with the same {kind}" for kind, count in kinds.items() if count)
    return f"images in two splits: {said}"


def describe(found: tuple[Overlap, ...]) -> str:
    """Return one sentence about duplicates: how many, of which kind, the first of them by name."""
    return f"{counted(found)}; the first: {found[0].described}"


def _by_bytes(parts: dict[str, Split]) -> dict[bytes, list[Place]]:
    """Compare by size, then by a piece, and read as a whole only what is still alike in two splits."""
    places = [
        ((part, number), file)
        for part, split in parts.items()
        for number, file in enumerate(split.files if isinstance(split, FileSplit) else ())
        if file.exists()
    ]
    same_size = _across(places, lambda file: file.stat().st_size.to_bytes(8, "big"))
    same_piece = _across(same_size, _piece)
    return _grouped((place, hashlib.sha256(file.read_bytes()).digest()) for place, file in same_piece)


def _across(places: list[tuple[Place, Path]], key: Callable[[Path], bytes]) -> list[tuple[Place, Path]]:
    """Return the files whose key a file of another split has too."""
    groups: dict[bytes, list[tuple[Place, Path]]] = defaultdict(list)
    for place, file in places:
        groups[key(file)].append((place, file))
    return [one for alike in groups.values() if len({part for (part, _), _ in alike}) > 1 for one in alike]


def _piece(file: Path) -> bytes:
    """Return some bytes from the middle of a file, with its size."""
    with file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(size // 2)
        return size.to_bytes(8, "big") + opened.read(_PIECE)


def _by_pixels(parts: dict[str, Split], files: bool) -> dict[bytes, list[Place]]:
    def digests() -> Iterator[tuple[Place, bytes]]:
        for part, split in parts.items():
            if not isinstance(split, FileSplit):
                yield from (((part, number), digest) for number, digest in enumerate(_array_digests(split)))
            elif files:
                with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                    for number, digest in enumerate(pool.map(_file_digest, split.files)):
                        if digest is not None:
                            yield (part, number), digest

    return _grouped(digests())


def _array_digests(split: Split) -> Iterator[bytes]:
    for start in range(0, len(split), _BLOCK):
        indices = np.arange(start, min(start + _BLOCK, len(split)))
        images = split.originals[indices] if isinstance(split, PixelSplit) else split.batch(indices)
        yield from (hashlib.sha256(image.tobytes()).digest() for image in images)


def _file_digest(file: Path) -> bytes | None:
    """Return a digest of a file's size and pixels, upright, however they are stored; None where it cannot be decoded."""
    try:
        with Image.open(file) as image:
            pixels = ImageOps.exif_transpose(image)
            if not pixels.mode.startswith(("I", "F")):  # Of more than 8 bits a pixel, which would be clipped.
                pixels = pixels.convert("RGBA")
            return hashlib.sha256(f"{pixels.mode} {pixels.size}".encode() + pixels.tobytes()).digest()
    except MemoryError:
        raise
    except Exception:  # Named elsewhere: whoever looks for duplicates looks for broken files too.
        return None


def _grouped(digests: Iterator[tuple[Place, bytes]]) -> dict[bytes, list[Place]]:
    groups: dict[bytes, list[Place]] = defaultdict(list)
    for place, digest in digests:
        groups[digest].append(place)
    return groups


def _pairs(groups: dict[bytes, list[Place]], parts: dict[str, Split], kind: Kind) -> Iterator[Overlap]:
    order = list(parts)
    for places in groups.values():
        first = dict(reversed(places))
        for part, number in places:
            for earlier in order[: order.index(part)]:
                if earlier in first:
                    images = (image_name(parts[earlier], first[earlier]), image_name(parts[part], number))
                    yield Overlap(kind=kind, splits=(earlier, part), images=images)
