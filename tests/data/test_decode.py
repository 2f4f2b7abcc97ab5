"""Decoding: every kind of picture becomes upright RGB pixels, whole or cut to a box, and a broken one is named."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from bench.data.decode import decode, decode_crop, scaler
from bench.errors import JobError


def picture(height: int, width: int) -> Image.Image:
    """Return a smooth picture whose every part looks different."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows * 255 / height, columns * 255 / width, (rows + columns) % 64 * 3], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_box_is_cut_from_the_upright_picture_whichever_way_it_was_taken(tmp_path: Path, suffix: str, turn: int):
    file = tmp_path / f"turned{suffix}"
    exif = Image.Exif()
    exif[0x0112] = turn
    picture(300, 400).save(file, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(file))
    asked = []

    def choose(height: int, width: int) -> tuple[int, int, int, int]:
        asked.append((height, width))
        return 20, 40, 120, 200

    found = decode_crop(file, 32, choose, scaler(32))
    assert asked == [(upright.height, upright.width)]
    expected = upright.resize((32, 32), Image.Resampling.BILINEAR, (40, 20, 240, 140))
    assert abs(found.astype(int) - np.asarray(expected)).mean() < 2


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize(("height", "width"), [(300, 400), (401, 120), (64, 64), (20, 30)])
def test_a_whole_picture_is_scaled_to_cover_and_cropped_at_the_centre(
    tmp_path: Path, suffix: str, height: int, width: int
):
    file = tmp_path / f"whole{suffix}"
    picture(height, width).save(file, quality=95)
    expected = ImageOps.fit(Image.open(file), (32, 32), Image.Resampling.BILINEAR)
    found = decode(file, 32)
    assert found.dtype == np.uint8
    assert abs(found.astype(int) - np.asarray(expected)).mean() < 2


def test_a_large_jpeg_is_decoded_no_larger_than_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "large.jpg"
    picture(800, 1200).save(file)
    sizes = []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda image, *rest: (sizes.append(image.size), resize(image, *rest))[1])
    decode(file, 100)
    decode(file, 401)
    assert sizes == [(150, 100), (1200, 800)]
    for box in ((0, 0, 200, 300), (0, 0, 199, 300), (0, 0, 400, 199)):
        decode_crop(file, 100, lambda height, width, box=box: box, lambda part: (sizes.append(part.shape), part)[1])
    assert sizes[2:] == [(100, 150, 3), (199, 300, 3), (400, 199, 3)]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_the_same_red_or_grey(tmp_path: Path, mode: str):
    red = Image.new("RGB", (40, 30), (255, 0, 0))
    image = Image.new("I;16", (40, 30), 76 * 256) if mode == "I;16" else red.convert(mode, dither=Image.Dither.NONE)
    file = tmp_path / ("it.tif" if mode == "CMYK" else "it.png")
    image.save(file)
    found = decode(file, 16)
    expected = {"1": (0, 0, 0), "L": (76, 76, 76), "LA": (76, 76, 76), "I;16": (76, 76, 76)}.get(mode, (255, 0, 0))
    assert found.shape == (16, 16, 3)
    assert abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_what_is_transparent_lies_on_white(tmp_path: Path, mode: str):
    file = tmp_path / "clear.png"
    if mode in ("P", "RGB"):
        picture = Image.new(mode, (20, 20), 0)
        picture.save(file, transparency=0 if mode == "P" else (0, 0, 0))
    else:
        Image.new(mode, (20, 20), (0,) * len(mode)).save(file)
    assert (decode(file, 8) == 255).all()


def test_half_transparent_edges_do_not_bleed(tmp_path: Path):
    """Green below a fully transparent half must not colour the border when the picture shrinks."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, 33:] = (0, 255, 0, 0)
    pixels[:, :33] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "edge.png")
    found = decode(tmp_path / "edge.png", 8)
    assert abs(found[..., 1].astype(int) - found[..., 2]).max() <= 1


def broken(folder: Path, kind: str) -> Path:
    source, file = folder / "whole", folder / f"broken.{kind.partition(' ')[0]}"
    picture(200, 200).save(source, format=kind.partition(" ")[0])
    content = source.read_bytes()
    file.write_bytes({"cut": content[: len(content) // 2], "start": content[:20], "empty": b""}[kind.partition(" ")[2]])
    return file


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp", "bmp", "tiff"])
@pytest.mark.parametrize("how", ["cut", "start", "empty"])
def test_a_truncated_file_is_named_and_not_filled_with_grey(tmp_path: Path, kind: str, how: str):
    file = broken(tmp_path, f"{kind} {how}")
    with pytest.raises(JobError, match=rf"{file}: cannot be decoded: .") as raised:
        decode(file, 16)
    assert str(raised.value).count(str(file)) == 1


def test_a_picture_that_claims_to_be_enormous_is_refused_before_it_fills_the_memory(tmp_path: Path):
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")))
    with pytest.raises(JobError, match=r"bomb\.png: cannot be decoded: Image size"):
        decode(tmp_path / "bomb.png", 8)


def test_a_missing_file_and_pixels_without_a_range_are_named(tmp_path: Path):
    with pytest.raises(JobError, match=r"none\.png: cannot be decoded"):
        decode(tmp_path / "none.png", 8)
    Image.new("F", (8, 8), 0.5).save(tmp_path / "float.tiff")
    with pytest.raises(JobError, match="no agreed range"):
        decode(tmp_path / "float.tiff", 8)
    Image.new("I", (8, 8), 70_000).save(tmp_path / "deep.tiff")
    with pytest.raises(JobError, match="32 bits have no agreed range"):
        decode(tmp_path / "deep.tiff", 8)
    Image.new("I", (8, 8), 76 * 256).save(tmp_path / "sixteen.tiff")
    assert (decode(tmp_path / "sixteen.tiff", 8) == 76).all()


def test_a_mistake_of_whoever_chooses_the_box_is_not_the_files(tmp_path: Path):
    picture(20, 20).save(tmp_path / "it.png")
    with pytest.raises(ZeroDivisionError):
        decode_crop(tmp_path / "it.png", 8, lambda height, width: (0, 0, 0 // 0, 1), scaler(8))
