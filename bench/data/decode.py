"""Decoding: one image file becomes a square of pixels."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from bench.errors import JobError


def decode(file: Path, image_size: int) -> NDArray[np.uint8]:
    """Return an image as uint8 in [size, size, 3]: upright by its EXIF tag, RGB, scaled to cover, cropped at the centre.

    The whole image is scaled so that its shorter side fits; `JobError` names a file that cannot be decoded.
    """
    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip to 8 and not scale.
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            upright = upright.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise JobError(f"{file}: cannot be decoded: {error}") from error
    return np.asarray(ImageOps.fit(upright, (image_size, image_size), Image.Resampling.BILINEAR), dtype=np.uint8)
