"""From a picture to what the model takes, and from what it gives to labels, by the facts in picture.json."""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
FACTS = json.loads((HERE / "picture.json").read_text())


def asked() -> str:
    """Return the picture that the command names; exit where it names none that can be read."""
    if len(sys.argv) != 2:
        sys.exit("usage: python example.py PICTURE")
    try:
        with Image.open(sys.argv[1]) as picture:
            mode = picture.mode
            picture.load()
            low, high = picture.getextrema() if mode == "I" else (0, 0)
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    if mode == "F":
        sys.exit(f"{sys.argv[1]}: floating-point pixels have no agreed range")
    if low < 0 or high >= 2**16:
        sys.exit(f"{sys.argv[1]}: pixels of 32 bits have no agreed range")
    return sys.argv[1]


def square(file: str) -> np.ndarray:
    """Return the largest square around a picture's middle, scaled, upright, what is transparent on white: [size, size, 3]."""
    picture = ImageOps.exif_transpose(Image.open(file))
    if picture.mode.startswith("I"):  # 16 bits, which Pillow would clip to 8.
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    size, side = FACTS["image_size"], min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    scaled = picture.resize((size, size), Image.Resampling.BILINEAR, box).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", scaled.size, "white"), scaled).convert("RGB"))


def pixels(file: str) -> np.ndarray:
    """Return a picture as the model takes it, normalised: float32, one image."""
    values = square(file).astype(np.float32)
    if FACTS["order"] == "bgr":
        values = values[..., ::-1]
    values = ((values - FACTS["mean"]) / FACTS["std"]).astype(np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1) if FACTS["channels_first"] else values)[None]


def tell(logits: np.ndarray) -> None:
    """Print the likeliest label with its probability, or every label whose probability reaches its threshold."""
    values = np.asarray(logits, np.float64)[0]
    if FACTS["thresholds"] is None:
        shares = np.exp(values - np.logaddexp.reduce(values))
        said = [int(shares.argmax())]
    else:
        shares = np.exp(-np.logaddexp(0, -values))
        said = [number for number, least in enumerate(FACTS["thresholds"]) if shares[number] >= least]
    print(", ".join(f"{FACTS['labels'][number]} {shares[number]:.1%}" for number in said) or "no label")
