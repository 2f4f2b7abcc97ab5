"""`bench export`: what bench train made becomes formats, each with an example that runs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import CHECKOUT
from PIL import Image

from bench.data.read import read_dataset
from bench.export import tfjs_chromium, tfjs_environment

Bench = Callable[..., subprocess.CompletedProcess[str]]


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two trained models, of PyTorch and of Keras, and pictures of ten digits named by them."""
    folder = tmp_path_factory.mktemp("trained")
    for name, arguments in {
        "torch": ("resnet18", "--image-size", "32", "--epochs", "3"),
        "keras": ("mobilenet_v3_small", "--framework", "keras-tensorflow", "--execution", "compiled"),
    }.items():
        done = bench(folder, "train", *arguments, "--out", name)
        assert done.returncode == 0, done.stderr
    test = read_dataset("digits", 40).test
    for digit in range(10):
        (image,) = test.batch(np.flatnonzero(test.labels == digit)[:1])
        Image.fromarray(image).save(folder / f"{digit}.png")
    return folder


def pictures(trained: Path) -> dict[str, Path]:
    """Return one picture a digit."""
    return {str(digit): trained / f"{digit}.png" for digit in range(10)}


def right(said: dict[str, str]) -> int:
    """Return how many pictures were called by their digit."""
    return sum(text.split(" ")[0] == digit for digit, text in said.items())


@pytest.mark.parametrize("name", ["onnx", "openvino", "torchscript", "torch-export", "aotinductor"])
def test_the_example_beside_an_artifact_runs(trained: Path, name: str):
    done = bench(trained, "export", "torch", "--formats", name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{name}: torch/exports/{name}/model.")
    place = trained / "torch" / "exports" / name
    assert (place / "labels.txt").read_text().split() == list("0123456789")
    answers = bench(trained, "predict", "torch", *map(str, pictures(trained).values())).stdout.splitlines()
    for (digit, picture), line in list(zip(pictures(trained).items(), answers, strict=True))[:3]:
        run = subprocess.run([sys.executable, "example.py", picture], cwd=place, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert line.split(": ")[1].startswith(run.stdout.split("%")[0]), digit


@pytest.mark.parametrize("name", ["litert", "litert-int8", "savedmodel"])
def test_the_example_beside_an_artifact_of_keras_runs(trained: Path, name: str):
    done = bench(trained, "export", "keras", "--formats", name)
    assert done.returncode == 0, done.stdout + done.stderr
    said = {}
    for digit, picture in list(pictures(trained).items())[:4]:
        place = trained / "keras" / "exports" / name
        run = subprocess.run([sys.executable, "example.py", picture], cwd=place, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        said[digit] = run.stdout
    assert right(said) >= 3


def test_the_page_beside_a_graph_model_tells_digits_in_a_browser(trained: Path, tmp_path: Path):
    if shutil.which("node") is None or not any(map(shutil.which, tfjs_chromium.NAMES)):
        pytest.skip("no Node.js or no Chromium on the path")
    tfjs_environment.prepare(print)
    done = bench(trained, "export", "keras", "--formats", "tfjs")
    assert done.returncode == 0, done.stdout + done.stderr
    page = trained / "keras" / "exports" / "tfjs"
    said = {}
    for digit, picture in list(pictures(trained).items())[::2]:
        shutil.copy(picture, page / f"{digit}.png")
        (tmp_path / "watch.html").write_text(
            f"""<iframe src="/page/index.html?picture={digit}.png"></iframe><script>setInterval(() => {{
              const said = frames[0].document.getElementById("said")?.textContent ?? "Choose";
              if (!said.startsWith("Choose")) fetch("/answer", {{method: "POST", body: said}});
            }}, 100); setTimeout(() => fetch("/answer", {{method: "POST", body: "nothing within a minute"}}), 60000)</script>"""
        )
        folders = {"watch": tmp_path, "page": page}
        said[digit] = tfjs_chromium.visit("watch/watch.html", folders, ("/answer",))["/answer"].decode()
    assert right(said) >= 4, said


def test_what_cannot_be_exported_costs_nothing_else(trained: Path):
    done = bench(trained, "export", "torch", "--formats", "litert,onnx")
    assert done.returncode == 1
    assert "litert: litert cannot be made from a torch model" in done.stdout
    assert "onnx: torch/exports/onnx/model.onnx" in done.stdout
    assert not (trained / "torch" / "exports" / "litert").exists()


def test_a_mistake_is_told_before_anything_is_exported(trained: Path, run_bench: Bench):
    done = run_bench("export", str(trained / "torch"), "--formats", "onx")
    assert done.returncode == 2
    assert "did you mean 'onnx'?" in done.stderr
    done = run_bench("export", "nowhere", "--formats", "onnx")
    assert done.returncode == 2
    assert "is that the folder of a bench train?" in done.stderr
