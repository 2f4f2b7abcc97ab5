"""Decoding: one image file, or a part of it, becomes a square of pixels."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bench.errors import Undecodable

Box = tuple[int, int, int, int]  # Top, left, height, width, in pixels of the upright original.
Choose = Callable[[int, int], Box]  # From an image's height and width.
Scale = Callable[
    [NDArray[np.uint8]], NDArray[np.uint8]
]  # From a part, in [height, width, 3], to one in [size, size, 3].
_Edges = tuple[float, float, float, float]  # Left, top, right, bottom, in pixels as they are stored.

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(file: Path, image_size: int) -> NDArray[np.uint8]:
    """Return a whole image as uint8 in [size, size, 3]: scaled to cover, cropped at the centre.

    Upright by its EXIF tag; grey and CMYK become RGB, 16 bits become 8, what is transparent lies on white. Raises
    `Undecodable`, which names the file, where it cannot be decoded to its end.
    """
    return _part(file, image_size, centred, lambda image, box: _scaled(image, image_size, box))


def decode_crop(file: Path, image_size: int, choose: Choose, scale: Scale) -> NDArray[np.uint8]:
    """Return the box of an image that `choose` names, as `scale` scales it to the size; else as `decode` does.

    Where the box is twice as large as the size, or more, `scale` gets it smaller, though not below the size.
    """
    return scale(_part(file, image_size, choose, Image.Image.crop))


def crop(pixels: NDArray[np.uint8], choose: Choose) -> NDArray[np.uint8]:
    """Return the box of an image, uint8 in [height, width, 3], that `choose` names."""
    top, left, height, width = choose(*pixels.shape[:2])
    return pixels[top : top + height, left : left + width]


def scaler(image_size: int) -> Scale:
    """Return what scales by averaging, as `decode` does."""
    return lambda pixels: np.asarray(_scaled(Image.fromarray(pixels), image_size))


def centred(height: int, width: int) -> Box:
    """Return the largest square around the middle."""
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def orientation(image: Image.Image) -> int:
    """Return an image's EXIF orientation: 1 is upright, 2 to 8 are turned or mirrored."""
    said = image.getexif().get(_ORIENTATION, 1)
    return said if said in _UPRIGHT else 1


def cannot(file: Path, error: Exception) -> Undecodable:
    """Return the error for a file that cannot be decoded."""
    if isinstance(error, UnidentifiedImageError):
        said = "it is no image of a known format"
    else:
        said = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return Undecodable(f"{file}: cannot be decoded: {said}")


def _part(
    file: Path, size: int, choose: Choose, take: Callable[[Image.Image, _Edges], Image.Image]
) -> NDArray[np.uint8]:
    """Return what `take` takes of an image, given the box as it is stored: RGB, upright."""
    try:
        image = Image.open(file)
        turn = orientation(image)
    except MemoryError:
        raise
    except Exception as error:  # A broken file makes Pillow raise nearly anything: OSError, SyntaxError, struct.error.
        raise cannot(file, error) from error
    with image:
        height, width = image.size if turn > 4 else image.size[::-1]
        box = _as_stored(choose(height, width), height, width, turn)
        try:
            smaller, edges = _smaller(image, box, size)
            part = _opaque(take(_scalable(smaller), edges))
        except MemoryError:
            raise
        except Exception as error:
            raise cannot(file, error) from error
    return np.array(part.transpose(_UPRIGHT[turn]) if turn > 1 else part)


def _as_stored(box: Box, height: int, width: int, turn: int) -> Box:
    """Return left, top, right and bottom, in the image as it is stored, of a box in the upright one."""
    top, left, box_height, box_width = box
    if turn in (3, 4, 7, 8):
        top = height - top - box_height
    if turn in (2, 3, 6, 7):
        left = width - left - box_width
    if turn > 4:
        return top, left, top + box_height, left + box_width
    return left, top, left + box_width, top + box_height


def _smaller(image: Image.Image, box: Box, size: int) -> tuple[Image.Image, _Edges]:
    """Return an image and its box, decoded at a half, a quarter or an eighth where the box is that many times too large.

    Only JPEG can; it takes a half to a fifth of the time.
    """
    left, top, right, bottom = box
    wanted = (math.ceil(image.width * size / (right - left)), math.ceil(image.height * size / (bottom - top)))
    width = image.width
    drafted = image.draft("", wanted)
    scale = drafted[1][2] / width if drafted else 1.0
    return image, (left * scale, top * scale, right * scale, bottom * scale)


def _scaled(image: Image.Image, size: int, box: _Edges | None = None) -> Image.Image:
    return image.resize((size, size), Image.Resampling.BILINEAR, box)


def _opaque(image: Image.Image) -> Image.Image:
    """Return an image as RGB, what is transparent on white."""
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _scalable(image: Image.Image) -> Image.Image:
    """Return an image in a mode whose pixels can be averaged; the last step to RGB is cheaper once it is small."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed range")
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip to 8, or 32.
        values = np.asarray(image)
        if values.min() < 0 or values.max() >= 2**16:
            raise ValueError("pixels of 32 bits have no agreed range")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("RGB", "L", "CMYK"):
        return image
    return image.convert("RGB")
