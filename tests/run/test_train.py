"""`bench train` and `bench predict` as a person uses them, in processes of their own."""

import csv
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from conftest import CELL, CHECKOUT, FAST
from PIL import Image

import bench
from bench.data.folder import read_folder
from bench.data.read import read_dataset
from bench.errors import JobError, UsageError
from bench.plan.cards import Pixels
from bench.plan.cell import Job
from bench.plan.recipe import recipe
from bench.records.accuracy import Accuracy, MultiLabelAccuracy
from bench.records.trained import Metrics, Trained, read_json, write_json
from bench.run import worker
from bench.run.predict import Answer
from bench.run.train import build as build_trial
from bench.run.train_command import answers

Bench = Callable[..., subprocess.CompletedProcess[str]]
# A network that timm ships for tests; with a matrix of one's own or here, any timm model can be named.
SMALL = ("timm/test_resnet", "--framework", "timm", "--image-size", "32", "--device", "cpu")
FAKE = ("fake/well", "--framework", "fake", "--image-size", "16")


# `bench` that leaves a copy of the training's folder after each epoch, as a kill at that moment would.
COPYING = """
import shutil
from bench.run import train
keep = train._Folder.keep
def keep_and_copy(folder, done):
    keep(folder, done)
    shutil.copytree(folder.path, folder.path.with_name(f"after-{len(done.epochs)}"))
train._Folder.keep = keep_and_copy
from bench.cli import main
main()
"""


def run_copying(folder: Path, *asked: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    subprocess.run([sys.executable, "-c", COPYING, *asked], cwd=folder, env=environment, check=True)


def pictures(folder: Path, per_class: int = 12, classes: tuple[int, ...] = (0, 1)) -> Path:
    """Write real digits as a folder of images, one sub-folder a class."""
    split = read_dataset("digits", 32).training
    for digit in classes:
        place = folder / f"digit-{digit}"
        place.mkdir(parents=True)
        for number in np.flatnonzero(split.labels == digit)[:per_class]:
            Image.fromarray(split.batch(np.array([number]))[0]).save(place / f"{number}.png")
    return folder


def test_a_training_leaves_everything_it_takes_to_use_the_model(run_bench: Bench, tmp_path: Path):
    said = run_bench("train", *SMALL, "--out", "out", "--epochs", "3", "--export", "onnx")
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert lines[0].startswith("epoch 1 of 3 (all): training loss ")
    assert re.search(r"; [\d,]+ img/s, .* left at most$", lines[0])
    assert lines[-1].startswith("top-1 ")
    out = tmp_path / "out"
    left = {file.name for file in out.iterdir()}
    assert left == {
        *("model.json", "model.safetensors", "exports", "metrics.json", "curve.csv", "curve.png", "confusion.png")
    }
    assert (out / "exports" / "onnx" / "model.onnx").is_file()
    rows = list(csv.DictReader((out / "curve.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    metrics = read_json(out / "metrics.json", Metrics)
    assert isinstance(metrics.figures, Accuracy)
    assert metrics.confusion is not None
    right = sum(row[number] for number, row in enumerate(metrics.confusion))
    assert right / 540 == pytest.approx(metrics.figures.test_top1)
    assert sum(map(sum, metrics.confusion)) == metrics.figures.test_images == 540
    assert metrics.environment.packages["timm"]
    assert {Image.open(out / name).format for name in ("curve.png", "confusion.png")} == {"PNG"}
    again = run_bench("train", *SMALL, "--out", "out", "--epochs", "3", "--resume")
    assert "this training has ended already" in again.stdout
    assert again.stdout.splitlines()[-1] == lines[-1]


RECIPE = (
    'description = "of everything a little"\nepochs = 4\nhead_epochs = 1\nhead_learning_rate = 0.01\noptimizer = "adamw"\n'
    'learning_rate = 0.003\nschedule = "cosine"\nwarmup_epochs = 1\naverage_decay = 0.9\naccumulation_steps = 3\n'
    'crop_padding = 0.1\npolicy = "trivialaugment"\nmixup_alpha = 0.2\n'
)


def test_a_training_killed_goes_on_to_the_same_weights_bit_for_bit(run_bench: Bench, tmp_path: Path):
    (tmp_path / "own.toml").write_text(RECIPE)
    asked = ("train", *SMALL, "--recipe", "own.toml")
    whole = run_bench(*asked, "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    killed = subprocess.Popen(
        [sys.executable, "-m", "bench", *asked, "--out", "killed"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.DEVNULL,
    )
    while not list((tmp_path / "killed").glob("state-[2-9]")):
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    resumed = run_bench(*asked, "--out", "killed", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.startswith("going on after epoch ")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]
    figures = [read_json(tmp_path / name / "metrics.json", Metrics).figures for name in ("whole", "killed")]
    losses = [[(epoch.training_loss, epoch.validation_score) for epoch in one.epochs] for one in figures]
    assert losses[0] == losses[1]
    assert read_json(tmp_path / "whole" / "metrics.json", Metrics).in_force["resumes"] == "bit for bit"


def test_a_training_killed_between_two_phases_goes_on_to_the_same_weights_bit_for_bit(run_bench: Bench, tmp_path: Path):
    """Though the batches of the first are no multiple of those that make one step of the optimizer."""
    (tmp_path / "own.toml").write_text(RECIPE.replace("epochs = 4", "epochs = 2", 1) + "loader_workers = 0\n")
    pictures(tmp_path / "pictures", per_class=60)
    asked = ("train", *SMALL, "--recipe", "own.toml", "--dataset", "folder:pictures", "--batch-size", "8")
    run_copying(tmp_path, *asked, "--out", "whole")
    assert len(read_folder(tmp_path / "pictures", 32).training) // 8 % 3, "some are left over"
    resumed = run_bench(*asked, "--out", "after-1", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "after-1")]
    assert weights[0] == weights[1]


def test_the_best_weights_are_those_of_the_state_though_the_kill_came_before_they_were_in_their_place(
    run_bench: Bench, tmp_path: Path
):
    asked = ("train", *FAKE, "--epochs", "2", "--out")
    run_copying(tmp_path, *asked, "whole")
    assert read_json(tmp_path / "whole" / "metrics.json", Metrics).figures.best_epoch == 2
    killed = tmp_path / "after-2"
    (killed / "model.npy").rename(killed / "state-2" / "model.npy")
    shutil.copy(tmp_path / "after-1" / "model.npy", killed / "model.npy")
    shutil.copytree(tmp_path / "after-1" / "state-1", killed / "state-1")
    assert run_bench(*asked, "after-2", "--resume").returncode == 0
    weights = [(tmp_path / name / "model.npy").read_bytes() for name in ("whole", "after-2", "after-1")]
    assert weights[0] == weights[1] != weights[2]
    assert not list(killed.glob("state-*"))


def test_a_folder_in_which_nothing_was_trained_yet_takes_another_training(run_bench: Bench, tmp_path: Path):
    """As after a batch that was too large for the memory, for which another is advised."""
    failed = run_bench("train", "fake/nan", *FAKE[1:], "--out", "out")
    assert failed.returncode == 1
    assert (tmp_path / "out" / "model.json").exists()
    again = run_bench("train", *FAKE, "--out", "out", "--epochs", "1", "--batch-size", "32")
    assert again.returncode == 0, again.stderr
    assert read_json(tmp_path / "out" / "model.json", Trained).cell.batch_size == 32


@pytest.mark.parametrize(("asked", "said"), [
    ((*FAKE, "--export", "onnx"), "the fake framework exports nothing"),
    ((*SMALL, "--export", "onnx", "--precision", "amp-bf16"), "exports are made from fp32 eager models"),
])  # fmt: skip
def test_an_export_that_cannot_be_is_refused_before_the_training(run_bench: Bench, asked: tuple[str, ...], said: str):
    refused = run_bench("train", *asked, "--out", "out")
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "epoch 1" not in refused.stdout


def test_weights_that_a_training_left_are_normalised_as_it_did(tmp_path: Path):
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_model

    cell = msgspec.structs.replace(CELL, architecture="timm/test_resnet", framework="timm")
    file = tmp_path / "model.safetensors"
    save_model(timm.create_model("test_resnet", num_classes=10), file)
    cell = msgspec.structs.replace(cell, weights=str(file))
    build = functools.partial(build_trial, cell, recipe("baseline"), 0, 10)
    own = build().pixels()
    left = Pixels(mean=(1, 2, 3), std=(4, 5, 6))
    trained = Trained(
        cell=cell, recipe=recipe("baseline"), seed=0, classes=("a",), pixels=left, split_hashes=("", "", "")
    )
    write_json(tmp_path / "model.json", trained)
    assert build().pixels() == left != own
    dataset = read_dataset("digits", 32)
    job = Job(
        cell=cell, measurement="inference", process=0, seed=0, protocol=FAST, recipe=recipe("baseline"), model=None
    )
    assert worker.request(job, dataset, 2).pixels == left


def test_a_training_killed_before_its_first_state_begins_anew(run_bench: Bench, tmp_path: Path):
    asked = ("train", *FAKE, "--epochs", "2", "--out")
    assert run_bench(*asked, "whole").returncode == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    (tmp_path / "killed" / "metrics.json").unlink()  # Then model.json and weights are there, and no state.
    assert run_bench(*asked, "killed", "--resume").returncode == 0
    weights = [(tmp_path / name / "model.npy").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]


def test_a_trained_model_says_what_is_in_pictures(run_bench: Bench, tmp_path: Path):
    assert run_bench("train", *FAKE, "--out", "out").returncode == 0
    folder = pictures(tmp_path / "pictures", per_class=10, classes=(0, 4, 6))
    said = run_bench("predict", "out", "pictures", "--json")
    answers = [json.loads(line) for line in said.stdout.splitlines()]
    assert len(answers) == 30
    right = [answer["labels"][0][0] == Path(answer["file"]).parent.name.removeprefix("digit-") for answer in answers]
    assert np.mean(right) > 0.8
    assert all(answer["labels"][0][1] >= answer["labels"][1][1] for answer in answers)
    first = next(folder.rglob("*.png"))
    assert run_bench("predict", "out", str(first)).stdout.startswith(f"{first}: ")
    trained = read_json(tmp_path / "out" / "model.json", Trained)
    assert trained.classes == tuple("0123456789")


def test_several_labels_get_thresholds_that_predict_uses(run_bench: Bench, tmp_path: Path):
    asked = (
        "train",
        *FAKE,
        "--dataset",
        "digits-multilabel",
        "--recipe",
        "multilabel",
        "--out",
        "out",
        "--epochs",
        "2",
    )
    said = run_bench(*asked)
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[-1].startswith("macro F1 ")
    assert (tmp_path / "out" / "class_f1.png").exists()
    metrics = read_json(tmp_path / "out" / "metrics.json", Metrics)
    assert isinstance(metrics.figures, MultiLabelAccuracy)
    assert metrics.figures.validation_at_chosen.macro_f1 >= metrics.figures.validation_at_half.macro_f1
    trained = read_json(tmp_path / "out" / "model.json", Trained)
    assert trained.thresholds == metrics.figures.thresholds
    assert run_bench(*asked, "--resume").returncode == 0
    assert read_json(tmp_path / "out" / "model.json", Trained) == trained
    Image.fromarray(read_dataset("digits-multilabel", 64).test.batch(np.array([0]))[0]).save(tmp_path / "canvas.png")
    answer = json.loads(run_bench("predict", "out", "canvas.png", "--json").stdout)
    shares = dict(zip(trained.classes, trained.thresholds, strict=True))
    assert all(share >= shares[label] for label, share in answer["labels"])


def test_a_picture_that_cannot_be_decoded_is_fatal_or_left_out_by_name(run_bench: Bench, tmp_path: Path):
    pictures(tmp_path / "pictures", per_class=60)
    broken = tmp_path / "pictures" / "digit-0" / "broken.png"
    broken.write_bytes(next(broken.parent.glob("*.png")).read_bytes()[:60])
    asked = ("train", *FAKE, "--dataset", "folder:pictures", "--batch-size", "8", "--epochs", "1")
    fatal = run_bench(*asked, "--out", "fatal")
    assert fatal.returncode == 1
    assert "broken.png: cannot be decoded" in fatal.stderr
    assert "; --skip-unreadable leaves such images out" in fatal.stderr
    assert "Traceback" not in fatal.stderr
    left_out = run_bench(*asked, "--out", "left", "--skip-unreadable")
    assert left_out.returncode == 0, left_out.stderr
    assert "left out: " in left_out.stdout
    assert "broken.png" in left_out.stdout


def test_a_model_trained_without_broken_pictures_is_exported_without_them(run_bench: Bench, tmp_path: Path):
    folder = pictures(tmp_path / "pictures", per_class=30)
    for file in sorted(folder.rglob("*.png"))[::4]:
        file.write_bytes(file.read_bytes()[:60])
    asked = ("train", *SMALL, "--dataset", "folder:pictures", "--batch-size", "8", "--epochs", "1", "--skip-unreadable")
    said = run_bench(*asked, "--out", "out", "--export", "onnx-int8")
    assert said.returncode == 0, said.stdout + said.stderr
    assert (tmp_path / "out" / "exports" / "onnx-int8" / "model.onnx").exists()


@pytest.mark.parametrize("framework", [SMALL, ("mobilenet_v3_small", "--framework", "keras-tensorflow", *SMALL[3:])])
def test_a_cut_jpeg_is_one_message_with_its_name(run_bench: Bench, tmp_path: Path, framework: tuple[str, ...]):
    for part in ("train", "val", "test"):
        pictures(tmp_path / "pictures" / part, per_class=8)
    broken = tmp_path / "pictures" / "train" / "digit-0" / "broken.jpg"
    Image.new("RGB", (64, 64), "white").save(broken)
    broken.write_bytes(broken.read_bytes()[:-200])
    asked = ("train", *framework, "--dataset", "folder:pictures", "--batch-size", "17", "--epochs", "1", "--out", "out")
    failed = run_bench(*asked)
    assert failed.returncode == 1
    assert [
        line for line in failed.stderr.splitlines() if line.startswith("bench: pictures/train/digit-0/broken.jpg: ")
    ]
    assert "Traceback" not in failed.stderr


def test_pictures_are_answered_a_batch_at_a_time_and_one_that_cannot_be_decoded_costs_no_other(
    run_bench: Bench, tmp_path: Path
):
    assert run_bench("train", *FAKE, "--out", "out", "--epochs", "1", "--batch-size", "8").returncode == 0
    folder = pictures(tmp_path / "pictures", per_class=10)
    broken = folder / "digit-0" / "broken.jpg"
    broken.write_bytes(b"no image")
    said = run_bench("predict", "out", "pictures", "--json")
    assert said.returncode == 1
    assert len(said.stdout.splitlines()) == 20
    assert said.stderr.startswith("bench: pictures/digit-0/broken.jpg: cannot be decoded")
    coming = answers(tmp_path / "out", [folder], "cpu")
    assert isinstance(next(coming), Answer)
    for file in (folder / "digit-1").glob("*.png"):
        file.unlink()
    rest = list(coming)
    assert sum(isinstance(one, JobError) for one in rest) > 3, "those of later batches were not read yet"
    assert len(rest) == 20


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            ("--recipe", "modern", "--epochs", "2"),
            "--epochs 2: warmup_epochs must be fewer than epochs, and recipe modern has 5",
        ),
        (("--out", "file"), "file: cannot be written: File exists"),
        (("--out", "file/below"), "file/below: cannot be written: Not a directory"),
    ],
)
def test_what_cannot_be_trained_or_kept_is_one_message(
    run_bench: Bench, tmp_path: Path, asked: tuple[str, ...], said: str
):
    (tmp_path / "file").touch()
    failed = run_bench("train", *FAKE, *asked)
    assert (failed.returncode, failed.stderr) == (2, f"bench: {said}\n")


def test_weights_that_are_not_there_or_cut_short_are_one_message(run_bench: Bench, tmp_path: Path):
    assert run_bench("train", *SMALL, "--out", "out", "--epochs", "1").returncode == 0
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    weights = tmp_path / "out" / "model.safetensors"
    for content, said in ((weights.read_bytes()[:1000], "cannot be read: "), (None, "is not there; has an epoch")):
        weights.unlink()
        if content:
            weights.write_bytes(content)
        asked = run_bench("predict", "out", "picture.png")
        exported = run_bench("export", "out", "--formats", "onnx")
        assert asked.returncode == exported.returncode == 1
        assert asked.stderr.splitlines()[-1].startswith(f"bench: out/model.safetensors: {said}")
        assert exported.stdout.startswith(f"onnx: out/model.safetensors: {said}")
        assert "Traceback" not in asked.stderr + exported.stderr


def test_a_classifier_on_random_layers_is_warned_of(run_bench: Bench, tmp_path: Path):
    said = run_bench("train", *SMALL, "--recipe", "transfer", "--epochs", "1", "--out", "out")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("warning: head_epochs train a classifier on layers of random weights")
    assert "\nwarning: freeze_batch_norm keeps statistics of nothing" in said.stdout


def test_a_picture_in_training_and_test_is_told(run_bench: Bench, tmp_path: Path):
    for part in ("train", "val", "test"):
        pictures(tmp_path / "pictures" / part, per_class=10)
    said = run_bench(
        "train", *FAKE, "--dataset", "folder:pictures", "--batch-size", "4", "--epochs", "1", "--out", "out"
    )
    assert said.returncode == 0, said.stderr
    assert "warning: images in two splits: 60 with the same bytes" in said.stdout
    assert "the figures on validation and test say too much" in said.stdout


def test_a_picture_in_training_and_validation_is_not_told_as_one_in_test(run_bench: Bench, tmp_path: Path):
    for part in ("train", "val"):
        pictures(tmp_path / "pictures" / part, per_class=10)
    for digit in (0, 1):
        place = tmp_path / "pictures" / "test" / f"digit-{digit}"
        place.mkdir(parents=True)
        Image.new("RGB", (32, 32), (digit, 99, 99)).save(place / "other.png")
    asked = ("train", *FAKE, "--dataset", "folder:pictures", "--batch-size", "4", "--epochs", "1", "--out", "out")
    said = run_bench(*asked)
    assert said.returncode == 0, said.stderr
    assert "the figures on validation say too much" in said.stdout


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("resnet51",), "did you mean 'resnet50'"),
        (("resnet18", "--recipe", "baselin"), "did you mean 'baseline'"),
        (("resnet18", "--dataset", "digit"), "did you mean 'digits'"),
        (("resnet18", "--precision", "fp31"), "did you mean 'fp32'"),
        (("resnet18", "--execution", "xla"), "torchvision has no execution xla"),
        (("resnet18", "--export", "onx"), "did you mean 'onnx'"),
        (("swin_t", "--framework", "keras-jax"), "names no model in keras-jax"),
        ((*FAKE, "--recipe", "multilabel"), "is for several labels an image, and the data set has one"),
        ((*FAKE, "--dataset", "digits-multilabel"), "take the recipe multilabel"),
        ((*FAKE, "--dataset", "cifar10"), "bench download cifar10"),
        (
            ("fake/nan", "--framework", "fake", "--image-size", "8"),
            "the training loss is nan from batch 1 of epoch 1 on",
        ),
    ],
)
def test_a_mistake_is_one_message_and_no_traceback(run_bench: Bench, asked: tuple[str, ...], message: str):
    said = run_bench("train", *asked, "--out", "out", BENCH_DATA="nowhere")
    assert said.returncode in (1, 2)
    assert message in said.stderr
    assert "Traceback" not in said.stderr


def test_a_folder_that_holds_another_training_is_left_alone(run_bench: Bench):
    assert run_bench("train", *FAKE, "--out", "out", "--epochs", "1").returncode == 0
    again = run_bench("train", *FAKE, "--out", "out", "--epochs", "1")
    assert again.returncode == 2
    assert "holds a training already; go on with --resume" in again.stderr
    other = run_bench("train", *FAKE, "--out", "out", "--epochs", "1", "--seed", "1", "--resume")
    assert other.returncode == 2
    assert "holds a training with another seed" in other.stderr


def test_a_recipe_of_ones_own_with_an_unknown_key_is_refused_by_name(run_bench: Bench, tmp_path: Path):
    (tmp_path / "own.toml").write_text(
        'description = ""\nepochs = 1\noptimizer = "sgd"\nlearning_rate = 0.1\nmixup = 0.2\n'
    )
    said = run_bench("train", *FAKE, "--recipe", "own.toml")
    assert said.returncode == 2
    assert "own.toml" in said.stderr
    assert "unknown field `mixup`; did you mean `mixup_alpha`?" in said.stderr


def test_predict_says_what_it_was_not_given(run_bench: Bench, tmp_path: Path):
    assert "is that the folder of a bench train?" in run_bench("predict", "nowhere", "a.png").stderr
    assert run_bench("train", *FAKE, "--out", "out", "--epochs", "1").returncode == 0
    assert "a.png: no such file" in run_bench("predict", "out", "a.png").stderr
    (tmp_path / "empty").mkdir()
    empty = run_bench("predict", "out", "empty")
    assert empty.returncode == 2
    assert empty.stderr.startswith("bench: empty: holds no picture (.bmp, ")


def test_it_trains_from_python_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    metrics = bench.train("fake/well", framework="fake", image_size=16, epochs=1, out=tmp_path / "out")
    assert isinstance(metrics.figures, Accuracy)
    with pytest.raises(UsageError, match="unknown framework"):
        bench.train("resnet18", framework="torchvison", out=tmp_path / "other")
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(UsageError, match="Keras runs in this process on jax already"):
        bench.train("resnet50", framework="keras-tensorflow", out=tmp_path / "other")
