"""`bench export`: what bench train made becomes formats, each with an example that runs."""

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CHECKOUT
from filelock import FileLock
from PIL import Image

from bench.data.decode import decode
from bench.data.read import read_dataset
from bench.errors import JobError
from bench.export import tfjs_chromium, tfjs_environment
from bench.export.find import find
from bench.export.make import Made
from bench.plan.files import PACKAGE
from bench.run import export_command

Bench = Callable[..., subprocess.CompletedProcess[str]]


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> Path:
    """Return a folder with two trained models, of PyTorch and of Keras, and pictures of every kind: one for all workers."""
    folder = tmp_path_factory.getbasetemp().parent / f"trained-{testrun_uid}"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            train_both(partial := folder.with_suffix(".partial"))
            partial.rename(folder)
    return folder


def train_both(folder: Path) -> None:
    folder.mkdir()
    for name, arguments in {
        "torch": ("resnet18", "--image-size", "32", "--epochs", "3"),
        "keras": ("mobilenet_v3_small", "--framework", "keras-tensorflow", "--execution", "compiled", "--epochs", "6"),
    }.items():
        done = bench(folder, "train", *arguments, "--out", name)
        assert done.returncode == 0, done.stderr
    test = read_dataset("digits", 40).test
    for digit in (0, 4, 9):
        (image,) = test.batch(np.flatnonzero(test.labels == digit)[:1])
        Image.fromarray(image).save(folder / f"{digit}.png")
    (image,) = test.batch(np.flatnonzero(test.labels == 3)[:1])
    red = np.full_like(image, (255, 0, 0))
    Image.fromarray(np.concatenate([red, image[..., :1]], axis=-1)).save(folder / "transparent.png")
    Image.fromarray(image[..., 0].astype(np.uint16) * 257).save(folder / "sixteen.png")


def pictures(trained: Path) -> list[Path]:
    """Return three digits, one of 16 bits and one that is coloured and transparent."""
    return sorted(trained.glob("*.png"))


@cache
def predicted(trained: Path, model: str) -> list[str]:
    """Return what the model itself says of each picture."""
    done = bench(trained, "predict", model, *map(str, pictures(trained)))
    assert done.returncode == 0, done.stderr
    return [line.partition(": ")[2] for line in done.stdout.splitlines()]


def exported(trained: Path, model: str, name: str) -> Path:
    """Return the folder of an export, which is made where it is not there."""
    place = trained / model / "exports" / name
    with FileLock(trained / f"{model}-{name}.lock"):
        if not place.exists():
            done = bench(trained, "export", model, "--formats", name)
            assert done.returncode == 0, done.stdout + done.stderr
            assert done.stdout.splitlines()[-1].startswith(f"{name}: {model}/exports/{name}/model")
    return place


def same(said: str, expected: str, points: float) -> bool:
    """Return whether two answers begin with the same label, with probabilities so many points apart at most."""
    label, percent = said.split("%")[0].rsplit(" ", 1)
    own_label, own_percent = expected.split("%")[0].rsplit(" ", 1)
    return label == own_label and abs(float(percent) - float(own_percent)) <= points


# How far an example's probability may be from the model's, in points.
POINTS = {"fp32": 0.2, "fp16": 2, "int8-weights": 20, "int8": 20}
MADE = [
    *(
        ("torch", name)
        for name in ("onnx", "onnx-static", "onnx-int8", "openvino", "torchscript", "torch-export", "aotinductor")
    ),
    *(("keras", name) for name in ("litert", "litert-float16", "litert-dynamic", "litert-int8", "savedmodel")),
]


@pytest.mark.parametrize(("model", "name"), MADE)
def test_the_example_beside_an_artifact_says_what_its_model_says(trained: Path, model: str, name: str):
    place = exported(trained, model, name)
    assert (place / "labels.txt").read_text().split() == list("0123456789")
    for picture, expected in list(zip(pictures(trained), predicted(trained, model), strict=True))[2::2]:
        run = subprocess.run([sys.executable, "example.py", picture], cwd=place, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert same(run.stdout, expected, POINTS[find(name).precision]), (picture.name, run.stdout, expected)


def look(page: Path, watch: Path, picture: str, then: str = "") -> str:
    """Return what a page beside an artifact says of a picture in its folder or, where a script follows, after that."""
    (watch / "watch.html").write_text(
        f"""<iframe src="/page/index.html?picture={picture}"></iframe><script>
        let before = "Choose";
        setInterval(() => {{
          const said = frames[0].document.getElementById("said")?.textContent ?? "Choose";
          if (said.startsWith("Choose") || said === before) return;
          if ({json.dumps(then)} && before === "Choose") {{ before = said; {then} }}
          else fetch("/answer", {{method: "POST", body: said}});
        }}, 100)</script>"""
    )
    return (
        tfjs_chromium.visit("watch/watch.html", {"watch": watch, "page": page}, ("/answer",)).posted["/answer"].decode()
    )


def test_the_page_beside_a_graph_model_tells_digits_in_a_browser(trained: Path, tmp_path: Path):
    if shutil.which("node") is None or not any(map(shutil.which, tfjs_chromium.NAMES)):
        pytest.skip("no Node.js or no Chromium on the path")
    tfjs_environment.prepare(print)
    page = exported(trained, "keras", "tfjs")
    for picture, expected in list(zip(pictures(trained), predicted(trained, "keras"), strict=True)):
        shutil.copy(picture, page)
        said = look(page, tmp_path, picture.name)
        assert same(said, expected, 1), (picture.name, said, expected)
        if picture.stem.isdigit():
            assert said.startswith(picture.stem), "the digit that it shows"
    assert look(page, tmp_path, "none.png").startswith("It failed: none.png: 404")
    command = [tfjs_chromium.chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    opened = subprocess.run([*command, (page / "index.html").as_uri()], capture_output=True, text=True, timeout=60)
    assert "run `python -m http.server` in this folder" in opened.stdout.partition("<script")[0]
    choose = """
        const chosen = frames[0].document.getElementById("chosen"), files = new DataTransfer();
        files.items.add(new File(["no picture"], "text.txt"));
        chosen.files = files.files;
        chosen.dispatchEvent(new Event("change"));"""
    assert look(page, tmp_path, "0.png", then=choose).startswith("It failed: ")


def constants(artifact: Path) -> tuple[dict[str, int], set[str]]:
    """Return how many constants of each type an artifact holds, and the types of what flows between its operators."""
    held: dict[str, int] = Counter()
    if artifact.suffix == ".onnx":
        import onnx

        graph = onnx.shape_inference.infer_shapes(onnx.load(artifact)).graph
        for constant in graph.initializer:
            held[onnx.TensorProto.DataType.Name(constant.data_type)] += math.prod(constant.dims)
        return held, {onnx.TensorProto.DataType.Name(one.type.tensor_type.elem_type) for one in graph.value_info}
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(artifact.read_bytes(), 0)
    names = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    flowing = set()
    for tensor in model.subgraphs[0].tensors:
        data = model.buffers[tensor.buffer].data
        if data is None or not len(data):
            flowing.add(names[tensor.type])
        else:
            held[names[tensor.type]] += math.prod(tensor.shape)
    return held, flowing


@pytest.mark.parametrize(
    ("model", "name", "weights", "activations"),
    [
        ("torch", "onnx", "FLOAT", "FLOAT"),
        ("torch", "onnx-int8", "INT8", "UINT8"),
        ("keras", "litert", "FLOAT32", "FLOAT32"),
        ("keras", "litert-float16", "FLOAT16", "FLOAT32"),
        ("keras", "litert-dynamic", "INT8", "FLOAT32"),
        ("keras", "litert-int8", "INT8", "INT8"),
    ],
)
def test_an_artifact_computes_in_what_it_says(trained: Path, model: str, name: str, weights: str, activations: str):
    (artifact,) = exported(trained, model, name).glob("model.*")
    held, flowing = constants(artifact)
    bytes_ = {"FLOAT": 4, "FLOAT32": 4, "FLOAT16": 2, "INT8": 1}[weights]
    assert held[weights] > 0.95 * sum(held.values()), held
    assert activations in flowing
    assert artifact.stat().st_size < 1.25 * bytes_ * sum(held.values())


@pytest.mark.parametrize(
    ("model", "name", "said"),
    [
        ("torch", "onnx", "Protobuf parsing failed"),
        ("torch", "openvino", "Incorrect weights in bin file"),
        ("torch", "torchscript", "failed finding central directory"),
        ("torch", "torch-export", "not a zip file"),
        ("torch", "aotinductor", "failed finding central directory"),
        ("keras", "litert", "not a valid Flatbuffer"),
        ("keras", "litert-int8", "not a valid Flatbuffer"),
        ("keras", "savedmodel", "Read less bytes than requested"),
        ("keras", "tfjs", r"the tensor should have \d+ values but has \d+"),
    ],
)
def test_half_an_artifact_is_told(trained: Path, tmp_path: Path, model: str, name: str, said: str):
    if name == "tfjs":
        if shutil.which("node") is None:
            pytest.skip("no Node.js on the path")
        tfjs_environment.prepare(print)
    chosen = find(name)
    shutil.copytree(exported(trained, model, name), tmp_path / "half")
    artifact = tmp_path / "half" / f"model{chosen.suffix}"
    files = [file for file in tmp_path.rglob("*") if file.is_file() and "model" in file.relative_to(tmp_path).parts[1]]
    largest = max(files, key=lambda file: file.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)
    made = Made(format=name, chosen=chosen, artifacts={1: artifact}, export_seconds=0, artifact_bytes=0, method="")
    np.save(tmp_path / "pixels.npy", np.zeros((1, 3, 32, 32) if model == "torch" else (1, 40, 40, 3), np.float32))
    with pytest.raises(JobError, match=said) as told:
        made.ask(made.question(tmp_path / "pixels.npy", 1, 1))
    assert "\n" not in str(told.value)


def draw(file: Path, kind: str) -> None:
    """Save a picture of noise of one kind."""
    source = np.random.default_rng(0)
    shape = (61, 44)
    if kind == "16 bits":
        Image.fromarray(source.integers(0, 2**16, shape, np.uint16)).save(file)
        return
    image = Image.fromarray(source.integers(0, 256, (*shape, 4), np.uint8))
    if kind == "palette":
        image.convert("RGB").quantize(16).save(file, transparency=3)
    elif kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.convert("RGB").save(file, exif=exif)
    else:
        image.convert(kind).save(file)


@pytest.fixture
def picture(tmp_path: Path) -> Any:
    """Return the module that every example in Python takes its pixels from."""
    shutil.copy(PACKAGE / "export" / "examples" / "picture.py", tmp_path)
    facts = {"image_size": 24, "order": "bgr", "mean": [1, 2, 3], "std": [4, 5, 6], "channels_first": True}
    (tmp_path / "picture.json").write_text(json.dumps(facts))
    spec = importlib.util.spec_from_file_location("picture", tmp_path / "picture.py")
    assert spec is not None
    assert spec.loader is not None
    picture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(picture)
    return picture


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "L", "LA", "palette", "16 bits", "turned"])
def test_an_example_takes_the_pixels_that_bench_takes(tmp_path: Path, picture: Any, kind: str):
    draw(tmp_path / "noise.png", kind)
    expected = decode(tmp_path / "noise.png", 24)
    found = picture.square(tmp_path / "noise.png")
    assert np.abs(found.astype(int) - expected).max() <= (1 if kind == "turned" else 0), "turned before it is scaled"
    normalised = ((found[..., ::-1] - np.array([1, 2, 3])) / np.array([4, 5, 6])).transpose(2, 0, 1)[None]
    assert np.allclose(picture.pixels(tmp_path / "noise.png"), normalised)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage: python example.py PICTURE"),
        (["none.png"], "No such file"),
        (["picture.json"], "cannot identify image"),
        (["float.tiff"], "floating-point pixels have no agreed range"),
        (["deep.tiff"], "pixels of 32 bits have no agreed range"),
    ],
)
def test_an_example_says_what_is_wrong_with_what_it_is_given(
    tmp_path: Path, picture: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
):
    Image.new("F", (4, 4)).save(tmp_path / "float.tiff")
    Image.new("I", (4, 4), 1 << 20).save(tmp_path / "deep.tiff")
    monkeypatch.setattr("sys.argv", ["example.py", *(str(tmp_path / name) for name in arguments)])
    with pytest.raises(SystemExit, match=said):
        picture.asked()


def test_what_cannot_be_exported_costs_nothing_else(trained: Path, tmp_path: Path):
    shutil.copytree(trained / "torch", tmp_path / "torch", ignore=shutil.ignore_patterns("exports"))
    done = bench(tmp_path, "export", "torch", "--formats", "litert, onnx")
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["litert", "onnx"]
    assert done.stderr.splitlines() == [
        f"{name}: exporting, and asking what was made about images of the test split" for name in ("litert", "onnx")
    ]
    assert "litert: litert cannot be made from a torch model" in done.stdout
    assert "onnx: torch/exports/onnx/model.onnx" in done.stdout
    assert not (tmp_path / "torch" / "exports" / "litert").exists()


def test_a_converter_that_ends_its_process_costs_nothing_else(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    ending = (
        "import os, signal, sys; print('last words', file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGSEGV)"
    )
    monkeypatch.setattr(export_command, "_PROCESS", ending)
    found = list(export_command.run(trained / "torch", ["onnx", "openvino"], print))
    assert capsys.readouterr().err == "last words\n" * 2
    assert [exported.described for exported in found] == [
        "onnx: its process was killed by SIGSEGV",
        "openvino: its process was killed by SIGSEGV",
    ]


# An exporter that prints in Python and below it, and takes its process with it.
CHATTY = """
import os, signal, sys
sys.path.insert(0, sys.argv.pop(1))
from bench.run import export_command, exported
def export(folder, trained, name, tell):
    print("in Python")
    os.write(1, b"below it\\n")
    tell("told")
    os.kill(os.getpid(), signal.SIGKILL)
exported.export = export
export_command.main(*sys.argv[1:])
"""


def test_what_a_converter_prints_is_shown_where_it_fails_and_is_not_told(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(export_command, "_PROCESS", CHATTY)
    told: list[str] = []
    (found,) = export_command.run(trained / "torch", ["onnx"], told.append)
    assert found.described == "onnx: its process was killed by SIGKILL"
    assert told[1:] == ["told"]
    assert capsys.readouterr().err == "in Python\nbelow it\n"


def test_an_interrupted_export_leaves_nothing_half_written(trained: Path, tmp_path: Path):
    shutil.copytree(trained / "torch", tmp_path / "torch", ignore=shutil.ignore_patterns("exports"))
    command = [sys.executable, "-m", "bench", "export", "torch", "--formats", "onnx"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        half = tmp_path / "torch" / "exports" / "onnx.part"
        while not half.exists() and process.poll() is None:
            time.sleep(0.05)
        process.terminate()  # As Ctrl-C, which a shell keeps from what it runs in the background.
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip() == "Interrupted. What was exported before is there."
    assert list((tmp_path / "torch" / "exports").iterdir()) == []


def test_a_training_that_has_not_ended_is_told(trained: Path, tmp_path: Path):
    shutil.copytree(trained / "torch", tmp_path / "torch", ignore=shutil.ignore_patterns("exports", "metrics.json"))
    done = bench(tmp_path, "predict", "torch", str(trained / "0.png"))
    assert done.returncode == 0
    assert "the training in torch has not ended" in done.stderr
    assert "has not ended" not in bench(trained, "predict", "torch", "0.png").stderr


def test_a_mistake_is_told_before_anything_is_exported(trained: Path, run_bench: Bench):
    done = run_bench("export", str(trained / "torch"), "--formats", "onx")
    assert done.returncode == 2
    assert "did you mean 'onnx'?" in done.stderr
    done = run_bench("export", str(trained / "torch"), "--formats", " ,")
    assert done.returncode == 2
    assert "no format is named" in done.stderr
    done = run_bench("export", "nowhere", "--formats", "onnx")
    assert done.returncode == 2
    assert "is that the folder of a bench train?" in done.stderr
