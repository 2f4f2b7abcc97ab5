"""The input pipeline in torch: batches of uint8 images from a split, decoded and cropped in workers."""

import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler
from torchvision.transforms import v2

from bench.data.dataset import Split
from bench.plan.recipe import Recipe

Batch = tuple[Tensor, Tensor]


def worker_count(split: Split, recipe: Recipe) -> int:
    """Return how many processes load: the recipe's number, else none for images in memory, one a core up to 8 for files."""
    if recipe.loader_workers is not None:
        return recipe.loader_workers
    return min(8, len(os.sched_getaffinity(0))) if not split.in_memory else 0


def batches(
    split: Split,
    batch_size: int,
    *,
    workers: int,
    pinned: bool,
    shuffle_seed: int | None = None,
    crop_padding: float = 0.0,
) -> Iterator[Batch]:
    """Yield images, uint8 in [n, size, size, 3], with labels, int64 in [n].

    Without a seed: every image once, in order, the last batch as small as it comes. With one: shuffled and cropped at
    random, and a last partial batch is dropped.
    """
    data = _Batches(split, crop_padding)
    shuffled = shuffle_seed is not None
    generator = torch.Generator().manual_seed(shuffle_seed or 0)
    order = RandomSampler(data, generator=generator) if shuffled else SequentialSampler(data)
    loader = DataLoader(
        data,
        sampler=BatchSampler(order, batch_size, drop_last=shuffled),
        batch_size=None,
        num_workers=workers,
        pin_memory=pinned,
        generator=generator,
    )
    yield from loader


class _Batches(Dataset[Batch]):
    """A split whose item is a whole batch: the sampler hands it a list of indices."""

    def __init__(self, split: Split, crop_padding: float) -> None:
        self.split = split
        self.crop_padding = crop_padding

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, indices: list[int]) -> Batch:
        chosen = np.array(indices)
        images = torch.from_numpy(self.split.batch(chosen))
        labels = torch.from_numpy(self.split.labels[chosen])
        size = images.shape[1]
        padding = round(size * self.crop_padding)
        if padding:
            crop = v2.RandomCrop(size, padding=padding)
            images = torch.stack([crop(image.permute(2, 0, 1)).permute(1, 2, 0) for image in images])
        return images, labels
