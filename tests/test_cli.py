"""The command line: a person's mistake is one line and status 2, and nothing heavy is imported to say so."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CHECKOUT, committed_results

import bench
from bench.report.readme import BEGIN, END, MOST_ROWS

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
        (["run", "--frameworks", "fake", "--device", "cuda:99"], "--device cuda:99: there is no such GPU here"),
        (["run", "--time-budget", "soon"], "--time-budget 'soon' is no time"),
        (["run", "--isolation", "thread"], "unknown isolation 'thread'"),
        (["run", "--frameworks", "fake", "--results", "/proc/none"], "/proc/none"),
        (["list", "modles"], "did you mean 'models'"),
        (["report", "--results", "nowhere"], "nowhere: no such file or folder"),
        (["run", "--weights", "pretraind"], "neither random, nor pretrained, nor a file"),
        (["run", "--dataset", "folder:nowhere"], "folder:nowhere: no such folder"),
        (["run", "--measurements", "batch_size"], "unknown measurement 'batch_size'"),
        (["run", "--nonsense"], "No such option"),
        (["show", "nowhere"], "nowhere: no such file or folder"),
        (["lint", "."], ".: no results; measure something first"),
        (["show", "."], ".: no results; measure something first"),
        (["compare", "a", "b", "--fail-on", "faster"], "write --fail-on slower"),
        (["doctor", "--device", "cuda"], "write bench doctor --ceilings --device cuda"),
        (["doctor", "--parity", "--ceilings"], "ask for one after the other"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(run_bench: RunBench, arguments: list[str], said: str):
    done = run_bench(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_show_prints_what_stands_in_the_readme(run_bench: RunBench):
    readme = (CHECKOUT / "README.md").read_text()
    for file in committed_results():
        done = run_bench("show", str(file))
        assert done.returncode == 0
        assert done.stdout.startswith(f"### {file.stem}\n")
        for part in done.stdout.strip().split("\n#### "):
            said = part.strip()
            if said.count("\n|") > MOST_ROWS + 2:  # The two lines of its head.
                said = said.partition("\n")[0]
                assert f"{said}\n\n" in readme
                assert f"`bench show results/{file.name}` prints them" in readme
            assert said in readme


@pytest.mark.parametrize("command", ["show", "lint", "compare", "report"])
def test_a_record_that_was_cut_is_told_and_to_lint_a_finding(run_bench: RunBench, tmp_path: Path, command: str):
    file = tmp_path / "results" / "cut.jsonl"
    file.parent.mkdir()
    file.write_bytes((CHECKOUT / "tests" / "records" / "schema-1.jsonl").read_bytes()[:-100])
    (tmp_path / "README.md").write_text(f"{BEGIN}\n{END}\n")
    arguments = {"compare": [f"{file}:framework=timm", f"{file}:framework=torchvision"], "report": []}
    done = run_bench(command, *arguments.get(command, [str(file)]))
    said = "cut.jsonl:28: the last record is incomplete and ignored"
    assert (done.stdout + done.stderr).count(said) == 1
    assert (said in done.stdout) == (command == "lint")
    assert "Warning" not in done.stderr
    assert done.returncode == (1 if command == "lint" else 0)


def test_protocols_without_an_interval_have_no_tolerance(run_bench: RunBench):
    assert "| tolerance | – | – | 0.01 | 0.005 |" in run_bench("list", "protocols").stdout


@pytest.mark.parametrize("kind", ["models", "datasets", "frameworks", "precisions", "matrices", "protocols"])
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
    assert re.search(r"^\| What runs tfjs-chromium +\| (yes|no) ", done.stdout, re.MULTILINE)
    here = dict(re.findall(r"^\| (NVIDIA GPU|GPU telemetry through NVML) \| (yes|no) \|", done.stdout, re.MULTILINE))
    assert len(here) == 2
    assert len(set(here.values())) == 1, "there is no telemetry of a GPU that is not there"


def test_a_dry_run_prints_cells_and_an_estimate_and_writes_nothing(run_bench: RunBench, tmp_path: Path):
    done = run_bench("run", "--matrix", "quick", "--dry-run")
    assert done.returncode == 0
    assert "resnet18/timm/amp-bf16/eager/" in done.stdout
    assert "very roughly" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["list", "models"], ["list", "frameworks"], ["doctor"], ["report", "--check"], ["show", "results"]],
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
