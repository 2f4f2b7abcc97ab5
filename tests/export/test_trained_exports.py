"""In a run, what a cell's accuracy has trained is what its exports are made of, and is trained again where it is gone."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from bench.records.record import Export, Record
from bench.records.store import read_file

MATRIX = """description = "one trained model and its exports"
protocol = "smoke"
[[grid]]
measurements = ["accuracy", "export:onnx", "export:tensorrt"]
architectures = ["resnet18"]
frameworks = ["timm"]
batch_sizes = [64]
image_sizes = [32]
recipes = ["short"]
"""


def of(records: list[Record], measurement: str) -> list[Record]:
    return [record for record in records if record.measurement == measurement]


def test_a_run_exports_what_it_has_trained(run_bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path):
    (tmp_path / "one.toml").write_text(MATRIX)
    command = ("run", "--matrix", "one.toml", "--results", "mine", "--device", "cpu")
    done = run_bench(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (tmp_path / "mine").glob("*.jsonl")
    records = read_file(file)
    (accuracy,), (export,), (engine,) = (of(records, name) for name in ("accuracy", "export:onnx", "export:tensorrt"))
    assert isinstance(export.figures, Export)
    assert export.figures.source_top1 == accuracy.figures.test_top1  # type: ignore[union-attr]
    assert export.figures.test_top1 == export.figures.source_top1
    assert (engine.status, engine.reason) == (
        "unsupported",
        "tensorrt runs on an NVIDIA GPU, and this cell on cpu",
    )
    assert "Top-1 on test, %" in done.stdout
    shutil.rmtree(tmp_path / "mine" / "weights")
    done = run_bench(*command, "--resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(of(read_file(file), "accuracy")) == 2, "trained again, for the weights were gone"
    assert len(of(read_file(file), "export:onnx")) == 1
    assert len(list((tmp_path / "mine" / "weights").rglob("*.safetensors"))) == 1
