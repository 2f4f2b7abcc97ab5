"""The input pipeline in torch: batches of uint8 images from a split, decoded and augmented where that costs least.

Files are decoded, cropped and augmented in worker processes, in threads of their own from the training. A split in memory is
put on the device once, whole, and augmented there.
"""

import os
from collections.abc import Iterator
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler
from torchvision.transforms import v2

from bench.data.dataset import Split
from bench.errors import JobError, Unsupported
from bench.frameworks import pytorch_augment
from bench.plan.recipe import Recipe

Batch = tuple[Tensor, Tensor]
# A split in memory that takes more than this stays on the host.
RESIDENT_BYTES = 2 << 30


def worker_count(split: Split, recipe: Recipe) -> int:
    """Return how many processes load: the recipe's number, else none for images in memory, one a core up to 8 for files."""
    if recipe.loader_workers is not None:
        return recipe.loader_workers
    return min(8, len(os.sched_getaffinity(0))) if not split.in_memory else 0


class Loader:
    """Batches of splits for one device; what lies on the device whole is kept as long as its split is."""

    def __init__(self, recipe: Recipe, image_size: int, batch_size: int, device: torch.device) -> None:
        self.recipe = recipe
        self.image_size = image_size
        self.batch_size = batch_size
        self.device = device
        self._resident: WeakKeyDictionary[Split, Tensor] = WeakKeyDictionary()

    def batches(self, split: Split, shuffle_seed: int | None = None) -> Iterator[Batch]:
        """Yield images, uint8 in [n, size, size, 3], with labels, int64 in [n] or [n, classes].

        Without a seed: every image once, in order, the last batch as small as it comes. With one: shuffled and augmented
        by the recipe, and a last partial batch is dropped. Raises `JobError`, which names it, for an image that cannot be
        decoded.
        """
        shuffled = shuffle_seed is not None
        if shuffled and (self.recipe.mixup_alpha or self.recipe.cutmix_alpha) and self.batch_size % 2:
            raise Unsupported(f"Mixup and CutMix mix pairs: a batch of {self.batch_size} is odd")
        workers = worker_count(split, self.recipe)
        data = _Batches(split, self._on_device(split) if workers == 0 else None, self.recipe, self.image_size, shuffled)
        generator = torch.Generator().manual_seed(shuffle_seed or 0)
        order = RandomSampler(data, generator=generator) if shuffled else SequentialSampler(data)
        loader = DataLoader(
            data,
            sampler=BatchSampler(order, self.batch_size, drop_last=shuffled),
            batch_size=None,
            num_workers=workers,
            pin_memory=self.device.type == "cuda" and data.resident is None,
            generator=generator,
        )
        try:
            yield from loader
        except JobError as error:
            raise type(error)(_said(error)) from None

    def _on_device(self, split: Split) -> Tensor | None:
        """Return all images of a split in memory, on the device; None where they are files, or too many."""
        if not split.in_memory or len(split) * self.image_size**2 * 3 > RESIDENT_BYTES:
            return None
        if split not in self._resident:
            self._resident[split] = torch.from_numpy(split.batch(np.arange(len(split)))).to(self.device)
        return self._resident[split]


def _said(error: JobError) -> str:
    """Return what an error says: from a worker process torch hands on its whole traceback, at whose end that stands."""
    return str(error).rpartition(f"{type(error).__module__}.{type(error).__qualname__}: ")[2].strip()


class _Batches(Dataset[Batch]):
    """A split whose item is a whole batch: the sampler hands it a list of indices."""

    def __init__(self, split: Split, resident: Tensor | None, recipe: Recipe, image_size: int, augmented: bool) -> None:
        self.split = split
        self.resident = resident
        self.image_size = image_size
        self.choose = pytorch_augment.random_box(recipe) if augmented and not split.in_memory else None
        self.transform = (
            pytorch_augment.of_images(recipe, image_size, cropped=self.choose is not None) if augmented else None
        )

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, indices: list[int]) -> Batch:
        chosen = np.array(indices)
        labels = torch.from_numpy(self.split.labels[chosen])
        images = self._images(chosen)
        if self.transform is not None:
            images = torch.stack([self.transform(image.permute(2, 0, 1)).permute(1, 2, 0) for image in images])
        return images, labels

    def _images(self, chosen: np.ndarray) -> Tensor:
        if self.resident is not None:
            return self.resident[torch.from_numpy(chosen).to(self.resident.device)]
        if self.choose is not None:
            return torch.from_numpy(self.split.crop(chosen, self.choose, self._scaled))
        return torch.from_numpy(self.split.batch(chosen))

    def _scaled(self, pixels: np.ndarray) -> np.ndarray:
        """Scale by averaging, as Pillow does to within rounding, in half its time."""
        part = torch.from_numpy(pixels).permute(2, 0, 1)
        scaled: Tensor = v2.functional.resize(part, [self.image_size] * 2, antialias=True)
        return scaled.permute(1, 2, 0).numpy()
