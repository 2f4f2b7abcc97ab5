"""The command line: a person's mistake is one line and status 2, and nothing heavy is imported to say so."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CHECKOUT, committed_results

import bench

RunBench = Callable[..., subprocess.CompletedProcess[str]]
HEAVY = ("torch", "torchvision", "timm", "sklearn", "pandas", "onnxruntime", "scipy")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--matrix", "smok"], "unknown matrix 'smok': did you mean 'smoke'"),
        (["run", "--matrix", "none.toml"], "none.toml: No such file"),
        (["run", "--architectures", "resnet19"], "did you mean 'resnet18'"),
        (["run", "--frameworks", "tim"], "did you mean 'timm'"),
        (["run", "--precisions", "fp31"], "did you mean 'fp32'"),
        (["run", "--device", "gpu"], "--device 'gpu' is none of"),
        (["run", "--time-budget", "soon"], "--time-budget 'soon' is no time"),
        (["run", "--isolation", "thread"], "unknown isolation 'thread'"),
        (["run", "--frameworks", "fake", "--results", "/proc/none"], "/proc/none"),
        (["list", "modles"], "did you mean 'models'"),
        (["report", "--results", "nowhere"], "nowhere: no such file or folder"),
        (["run", "--weights", "pretraind"], "neither random, nor pretrained, nor a file"),
        (["run", "--dataset", "folder:nowhere"], "folder:nowhere: no such folder"),
        (["run", "--measurements", "batch_size"], "unknown measurement 'batch_size'"),
        (["run", "--nonsense"], "No such option"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(run_bench: RunBench, arguments: list[str], said: str):
    done = run_bench(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["models", "datasets", "frameworks", "precisions", "matrices"])
def test_every_list_shows_rows(run_bench: RunBench, kind: str):
    done = run_bench("list", kind)
    assert done.returncode == 0
    assert done.stdout.count("\n|") > 2


def test_the_version_is_told(run_bench: RunBench):
    done = run_bench("--version")
    assert done.returncode == 0
    assert done.stdout == f"imagebench {bench.__version__}\n"


def test_doctor_says_what_this_machine_is_and_has(run_bench: RunBench):
    done = run_bench("doctor")
    assert done.returncode == 0
    for word in ("Machine", "NVIDIA GPU", "torchvision", "cores"):
        assert word in done.stdout


def test_a_dry_run_prints_cells_and_an_estimate_and_writes_nothing(run_bench: RunBench, tmp_path: Path):
    done = run_bench("run", "--matrix", "quick", "--dry-run")
    assert done.returncode == 0
    assert "resnet18/timm/amp-bf16/eager/" in done.stdout
    assert "very roughly" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list", "models"], ["list", "frameworks"], ["doctor"], ["report", "--check"]]
)
def test_nothing_heavy_is_imported(arguments: list[str], tmp_path: Path):
    """`report --check` also holds the committed README against the committed results."""
    if "report" in arguments:
        for file in committed_results():
            shutil.copy(file, tmp_path)
        arguments = [*arguments, "--results", str(tmp_path)]
    code = (
        "import sys; from bench.cli import main\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT)
    assert done.stdout.splitlines()[-1] == "HEAVY []", done.stderr
