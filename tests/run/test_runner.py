"""A run: every job once, each on disk before the next, and whatever happens it can go on."""

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

import pytest
from conftest import CHECKOUT
from PIL import Image

from bench.records.record import BatchSize, Record
from bench.records.store import read_file

RunBench = Callable[..., subprocess.CompletedProcess[str]]


def records(folder: Path) -> list[Record]:
    (file,) = folder.glob("*.jsonl")
    return read_file(file)


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "BENCH_TEST_MARK": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # A shell's background job ignores it.
    )


def marked(mark: Path) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and f"BENCH_TEST_MARK={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def wait_until(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.03)
    raise AssertionError("it did not happen within 30 s")


def lines(folder: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in folder.glob("*.jsonl"))


def test_a_matrix_is_measured_and_told(run_bench: RunBench, fake_matrix: Path, tmp_path: Path):
    done = run_bench("run", "--matrix", str(fake_matrix), "--results", "r")
    assert done.returncode == 0, done.stderr
    found = records(tmp_path / "r")
    assert len(found) == len({record.key for record in found}) == 3 * (1 + 2 + 2)
    assert {record.status for record in found} == {"ok"}
    assert "[15/15]" in done.stdout
    assert "| ResNet-50 | fake | fp32 |" in done.stdout
    assert all((tmp_path / "r" / str(record.log)).exists() for record in found)
    assert all(record.start_seconds and record.start_seconds < record.wall_seconds for record in found)


def test_faults_are_rows_and_the_rest_runs(run_bench: RunBench, fake_matrix: Path, tmp_path: Path):
    names = "fake/well,fake/crash,fake/nan,fake/exhaust-memory,fake/print,fake/leave-children"
    done = run_bench("run", "--matrix", str(fake_matrix), "--results", "r", "--architectures", names)
    assert done.returncode == 1
    statuses = {
        (r.cell.architecture, r.measurement): r.status for r in records(tmp_path / "r") if r.measurement == "training"
    }
    assert statuses == {
        ("fake/well", "training"): "ok",
        ("fake/crash", "training"): "failed",
        ("fake/nan", "training"): "diverged",
        ("fake/exhaust-memory", "training"): "out_of_memory",
        ("fake/print", "training"): "ok",
        ("fake/leave-children", "training"): "ok",
    }
    assert "| failed | the process was killed by SIGSEGV |" in done.stdout


def test_a_precision_that_does_not_exist_is_a_row_and_no_failure(
    run_bench: RunBench, fake_matrix: Path, tmp_path: Path
):
    done = run_bench("run", "--matrix", str(fake_matrix), "--results", "r", "--precisions", "fp32,tf32")
    assert done.returncode == 0
    unsupported = [record for record in records(tmp_path / "r") if record.status == "unsupported"]
    assert {record.reason for record in unsupported} == {"fake has no tf32 on cpu"}


@pytest.mark.parametrize("victim", ["worker", "runner"])
def test_after_a_kill_nothing_is_lost_nothing_runs_and_resume_completes(
    run_bench: RunBench, fake_matrix: Path, tmp_path: Path, victim: str
):
    arguments = ["run", "--matrix", str(fake_matrix), "--results", "r", "--architectures", "fake/well,fake/slow"]
    running = start(arguments, tmp_path)
    wait_until(lambda: lines(tmp_path / "r") >= 3)
    before = records(tmp_path / "r")[:3]
    if victim == "runner":
        running.kill()
    else:
        server = children(running.pid)[0]
        wait_until(lambda: children(server))
        worker = children(server)
        wait_until(lambda: worker or worker.extend(children(server)))
        os.kill(worker[0], signal.SIGKILL)
    running.communicate(timeout=120)
    wait_until(lambda: not marked(tmp_path))
    done = run_bench(*arguments, "--resume")
    assert done.returncode == 0, done.stdout + done.stderr
    found = records(tmp_path / "r")
    assert found[:3] == before
    if victim == "worker":
        assert ["SIGKILL" in str(record.reason) for record in found].count(True) == 1
    good = [record.key for record in found if record.status == "ok"]
    assert len(good) == len(set(good)) == 2 * 5
    again = run_bench(*arguments, "--resume")
    assert again.returncode == 0
    assert records(tmp_path / "r") == found, "a complete run measures nothing"


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_an_interrupt_keeps_what_is_measured_and_leaves_no_process(
    run_bench: RunBench, fake_matrix: Path, tmp_path: Path
):
    arguments = ["run", "--matrix", str(fake_matrix), "--results", "r", "--architectures", "fake/slow"]
    running = start(arguments, tmp_path)
    wait_until(lambda: lines(tmp_path / "r") >= 1)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "go on with --resume" in said
    assert "Traceback" not in said
    assert marked(tmp_path) == []
    assert run_bench(*arguments, "--resume").returncode == 0
    assert len(records(tmp_path / "r")) == 5


def test_a_time_budget_stops_before_a_job_that_would_not_end_in_time(
    run_bench: RunBench, fake_matrix: Path, tmp_path: Path
):
    arguments = ["run", "--matrix", str(fake_matrix), "--results", "r", "--architectures", "fake/slow"]
    done = run_bench(*arguments, "--time-budget", "3s")
    assert done.returncode == 0
    assert "The time budget is spent with" in done.stdout
    assert 0 < len(records(tmp_path / "r")) < 5
    run_bench(*arguments, "--resume")
    assert len(records(tmp_path / "r")) == 5


def test_an_automatic_batch_size_is_found_once_and_recorded(run_bench: RunBench, fake_matrix: Path, tmp_path: Path):
    arguments = ["run", "--matrix", str(fake_matrix), "--results", "r", "--architectures", "fake/well"]
    done = run_bench(*arguments, "--batch-sizes", "auto", "--measurements", "training")
    assert done.returncode == 0, done.stdout
    found = records(tmp_path / "r")
    trainings = [record for record in found if record.measurement == "training"]
    probes = [record for record in found if record.measurement == "batch_size"]
    assert {record.batch_size for record in trainings} == {4096}, "the fake device takes 4,096 images"
    assert {record.cell.batch_size for record in trainings} == {"auto"}
    assert len(probes) == len({record.key for record in probes})
    assert {record.status for record in probes} == {"ok", "out_of_memory"}
    assert max(r.figures.fits for r in probes if isinstance(r.figures, BatchSize)) == 4096


def test_a_run_in_another_environment_is_not_gone_on_with(run_bench: RunBench, fake_matrix: Path, tmp_path: Path):
    arguments = ["run", "--matrix", str(fake_matrix), "--results", "r", "--measurements", "build"]
    run_bench(*arguments)
    (file,) = (tmp_path / "r").glob("*.jsonl")
    changed = [json.loads(line) for line in file.read_text().splitlines()]
    for record in changed:
        record["environment"]["packages"]["torch"] = "1.0"
    file.write_text("".join(json.dumps(record) + "\n" for record in changed))
    time.sleep(1)  # The name of a run ends with its second.
    done = run_bench(*arguments, "--resume")
    assert done.returncode == 0
    assert "a new run begins: packages: {" in done.stdout
    assert len(list((tmp_path / "r").glob("*.jsonl"))) == 2


def test_another_protocol_begins_a_new_run(run_bench: RunBench, fake_matrix: Path, tmp_path: Path):
    arguments = ["run", "--matrix", str(fake_matrix), "--results", "r", "--measurements", "build"]
    run_bench(*arguments)
    time.sleep(1)
    fake_matrix.write_text(fake_matrix.read_text().replace("blocks = 3", "blocks = 4"))
    assert "a new run begins: another protocol" in run_bench(*arguments, "--resume").stdout
    assert [len(read_file(file)) for file in (tmp_path / "r").glob("*.jsonl")] == [3, 3]


def test_another_isolation_begins_a_new_run(run_bench: RunBench, fake_matrix: Path, tmp_path: Path):
    arguments = ["run", "--matrix", str(fake_matrix), "--results", "r", "--measurements", "build"]
    run_bench(*arguments)
    time.sleep(1)
    assert (
        "a new run begins: isolation: fork → spawn" in run_bench(*arguments, "--resume", "--isolation", "spawn").stdout
    )


def test_what_has_left_the_matrix_is_in_no_table_and_no_exit_status(run_bench: RunBench, fake_matrix: Path):
    fake_matrix.write_text(fake_matrix.read_text().replace('"resnet18"', '"fake/raise", "resnet18"'))
    arguments = ["run", "--matrix", str(fake_matrix), "--results", "r", "--measurements", "training"]
    assert run_bench(*arguments).returncode == 1
    fake_matrix.write_text(fake_matrix.read_text().replace('"fake/raise", ', ""))
    done = run_bench(*arguments, "--resume")
    assert done.returncode == 0, done.stdout
    assert "fake/raise" not in done.stdout


def test_other_pictures_in_the_folder_are_measured_again(run_bench: RunBench, fake_matrix: Path, tmp_path: Path):
    for number in range(60):
        place = tmp_path / "pictures" / ("cat" if number % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (number, 0, 0)).save(place / f"{number}.png")
    arguments = ["run", "--matrix", str(fake_matrix), "--results", "r", "--measurements", "build"]
    arguments += ["--dataset", "folder:pictures", "--architectures", "resnet18"]
    assert run_bench(*arguments).returncode == 0
    Image.new("RGB", (32, 32), "green").save(tmp_path / "pictures" / "cat" / "new.png")
    run_bench(*arguments, "--resume")
    (file,) = (tmp_path / "r").glob("*.jsonl")
    assert len(read_file(file)) == 2


def test_a_changed_card_or_recipe_is_measured_again(run_bench: RunBench, fake_matrix: Path, tmp_path: Path):
    """Resume goes by what a record was made from, not by its name alone."""
    arguments = ["run", "--matrix", str(fake_matrix), "--results", "r", "--measurements", "build"]
    run_bench(*arguments)
    (file,) = (tmp_path / "r").glob("*.jsonl")
    file.write_text(re.sub(r'"recipe":"[0-9a-f]{12}"', '"recipe":"000000000000"', file.read_text(), count=1))
    run_bench(*arguments, "--resume")
    assert len(records(tmp_path / "r")) == 3 + 1


def test_an_execution_that_a_framework_has_not_is_unsupported(run_bench: RunBench, fake_matrix: Path, tmp_path: Path):
    arguments = [
        "run",
        "--matrix",
        str(fake_matrix),
        "--results",
        "r",
        "--measurements",
        "build",
        "--executions",
        "xla",
    ]
    assert run_bench(*arguments).returncode == 0
    found = {(record.status, record.reason) for record in records(tmp_path / "r")}
    assert found == {("unsupported", "fake has no execution xla")}


def test_a_missing_framework_is_a_row_with_the_line_to_type(run_bench: RunBench, fake_matrix: Path, tmp_path: Path):
    # An environment with the base installation alone: what bench needs, and no framework.
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("msgspec", "typer", "rich", "annotated_doc", "shellingham", "markdown_it", "mdurl", "pygments"):
        spec = __import__(name).__path__ if hasattr(__import__(name), "__path__") else None
        source = Path(next(iter(spec))) if spec else Path(str(__import__(name).__file__))
        os.symlink(source, bare / source.name)
    done = subprocess.run(
        [sys.executable, "-S", "-m", "bench", "run", "--matrix", str(fake_matrix), "--frameworks", "timm,keras-jax"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{CHECKOUT}:{bare}", "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "pip install 'imagebench[torch]'" in done.stdout
    assert "pip install 'imagebench[jax]'" in done.stdout
    assert {record.status for record in records(tmp_path / "results")} == {"unavailable"}
    shutil.rmtree(bare)
