"""From a picture to what the model takes, and from what it gives to labels, by the facts in picture.json."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
FACTS = json.loads((HERE / "picture.json").read_text())


def pixels(file: str) -> np.ndarray:
    """Return the largest square around a picture's middle, scaled and normalised: float32, one image."""
    size = FACTS["image_size"]
    picture = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    square = np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR), np.float32)
    if FACTS["order"] == "bgr":
        square = square[..., ::-1]
    square = ((square - FACTS["mean"]) / FACTS["std"]).astype(np.float32)
    return np.ascontiguousarray(square.transpose(2, 0, 1) if FACTS["channels_first"] else square)[None]


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
