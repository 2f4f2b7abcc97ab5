"""Two versions held against each other in turns: a commit, a virtual environment, stored results; and what is neither."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from bench.records.record import Record
from bench.records.store import read_file

RunBench = Callable[..., subprocess.CompletedProcess[str]]
SLOWER = ("STEP_SECONDS = 0.001", "STEP_SECONDS = 0.0015")


def run(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def edit(checkout: Path, old: str, new: str, name: str = "frameworks/fake.py") -> None:
    file = checkout / "bench" / name
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def commit(checkout: Path) -> None:
    who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    subprocess.run(["git", *who, "commit", "-qam", "otherwise"], cwd=checkout, check=True)


def matrix(checkout: Path, pairs: int) -> str:
    file = checkout / "two.toml"
    file.write_text(
        f"""description = "two fake cells"
[protocol]
preset = "smoke"
processes = {pairs}
processes_at_most = {pairs}
inference_block_seconds = 0.05
training_block_seconds = 0.05
latency_requests = 30
[[grid]]
measurements = ["training", "inference"]
architectures = ["resnet18"]
frameworks = ["fake"]
batch_sizes = [16]
image_sizes = [32]
"""
    )
    return str(file)


def results(checkout: Path) -> list[Record]:
    (file,) = (checkout / "r").glob("*.jsonl")
    return read_file(file)


def test_a_change_that_slows_is_found_against_the_commit_before_it(checkout: Path):
    edit(checkout, *SLOWER)
    done = run(checkout, "run", "--matrix", matrix(checkout, 6), "--against", "HEAD", "--results", "r")
    assert done.returncode == 0, done.stderr
    held = results(checkout)
    assert {record.status for record in held} == {"ok"}
    assert {record.environment.dirty for record in held if record.side == "b"} == {True}
    assert {record.environment.dirty for record in held if record.side == "a"} == {False}
    assert len({record.environment.code for record in held}) == 2
    (file,) = (checkout / "r").glob("*.jsonl")
    compared = run(checkout, "compare", str(file), "--json", "--fail-on", "slower")
    assert compared.returncode == 1, compared.stderr
    found = json.loads(compared.stdout)
    assert found["in_turns"]
    assert {pair["verdict"]["judgement"] for pair in found["pairs"]} == {"SLOWER"}
    assert {pair["verdict"]["judgement"] for pair in found["control"]} <= {"SAME", "INCONCLUSIVE"}
    assert "SLOWER" in done.stdout
    assert "Control, the same measured twice" in done.stdout
    assert "pairs a row" not in done.stdout, "six are enough"
    again = run(checkout, "run", "--matrix", matrix(checkout, 6), "--against", "HEAD", "--results", "r", "--resume")
    assert again.returncode == 0, again.stderr
    assert len(results(checkout)) == len(held), "nothing is measured twice"


def test_a_commit_that_writes_other_figures_fails_in_its_rows_and_b_is_measured(checkout: Path):
    """Nothing of it is timed either, so that there is nothing to compare; the run says so and ends as any other."""
    ours = "    build_seconds: float\n"
    theirs = f"{ours}    of_old: int = 7\n"
    edit(checkout, ours, theirs, "records/record.py")
    commit(checkout)
    edit(checkout, theirs, ours, "records/record.py")
    arguments = (
        "run",
        "--matrix",
        matrix(checkout, 1),
        "--against",
        "HEAD",
        "--results",
        "r",
        "--measurements",
        "build",
    )
    done = run(checkout, *arguments)
    assert "Traceback" not in done.stderr
    assert done.returncode == 1, done.stderr
    assert "there will be no verdict" in done.stdout
    found = {record.side: record for record in results(checkout)}
    assert found["b"].status == "ok"
    assert found["a"].status == "failed"
    assert "its bench writes other figures" in str(found["a"].reason)
    assert "of_old" in str(found["a"].reason)


def test_a_commit_whose_environment_cannot_be_read_is_refused(checkout: Path):
    ours = 'system=f"{platform.system()} {platform.release()} {platform.machine()}"'
    edit(checkout, ours, "system=1", "records/environment.py")
    commit(checkout)
    edit(checkout, "system=1", ours, "records/environment.py")
    done = run(checkout, "run", "--matrix", matrix(checkout, 1), "--against", "HEAD", "--dry-run")
    assert done.returncode == 2
    assert "describes its environment otherwise" in done.stderr


def test_a_virtual_environment_runs_this_code_on_its_own_packages(checkout: Path, tmp_path: Path):
    """Its jobs themselves say which Pillow they find: the environment in a record is asked for apart from them."""
    python = tmp_path / "other" / "bin" / "python"
    python.parent.mkdir(parents=True)
    packages = tmp_path / "other" / "packages"
    (packages / "pillow-0.0.1.dist-info").mkdir(parents=True)
    (packages / "pillow-0.0.1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: pillow\nVersion: 0.0.1\n"
    )
    python.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    found = '__import__("importlib.metadata").metadata.version("pillow")'
    edit(checkout, '"weights": "zero"}', f'"weights": "zero", "pillow": {found}}}')
    done = run(checkout, "run", "--matrix", matrix(checkout, 2), "--against", str(tmp_path / "other"), "--results", "r")
    assert done.returncode == 0, done.stderr
    assert "2 pairs a row, where a verdict takes 6 or more" in done.stdout
    assert {(record.side, record.status) for record in results(checkout)} == {
        ("a", "ok"),
        ("b", "ok"),
        ("a-again", "ok"),
    }
    assert len({record.environment.code for record in results(checkout)}) == 1
    ours = version("pillow")
    expected = {("a", "0.0.1"), ("a-again", "0.0.1"), ("b", ours)}
    assert {(record.side, record.in_force["pillow"]) for record in results(checkout)} == expected
    assert {(record.side, record.environment.packages["pillow"]) for record in results(checkout)} == expected


def test_stored_results_are_compared_with_after_the_run_as_they_were_measured(
    run_bench: RunBench, fake_matrix: Path, tmp_path: Path
):
    begun = run_bench("run", "--matrix", str(fake_matrix), "--results", "old", "--isolation", "spawn")
    assert begun.returncode == 0
    (old,) = (tmp_path / "old").glob("*.jsonl")
    done = run_bench("run", "--matrix", str(fake_matrix), "--results", "new", "--against", str(old))
    assert done.returncode == 0, done.stderr
    assert "| B over A |" in done.stdout
    assert "Unlike" not in done.stdout
    assert "Control, the same measured twice" in done.stdout
    (new,) = (tmp_path / "new").glob("*.jsonl")
    records = read_file(new)
    assert {record.isolation for record in records if record.figures} == {"spawn"}
    again = {(record.cell, record.measurement) for record in records if record.side == "a-again"}
    assert len(again) == 1
    assert {record.side for record in records} == {None, "a-again"}
    alone = run_bench("compare", str(old))
    assert alone.returncode == 2
    assert "one side only" in alone.stderr


def test_unlike_stored_results_are_refused_before_anything_is_measured(
    run_bench: RunBench, fake_matrix: Path, tmp_path: Path
):
    narrowed = ("--architectures", "resnet18", "--measurements", "inference")
    assert run_bench("run", "--matrix", str(fake_matrix), "--results", "old", *narrowed).returncode == 0
    (old,) = (tmp_path / "old").glob("*.jsonl")
    arguments = ("run", "--matrix", str(fake_matrix), *narrowed, "--results", "new", "--against", str(old))
    longer = fake_matrix.read_text().replace("warmup_steps = 2", "warmup_steps = 3")
    fake_matrix.write_text(longer)
    refused = run_bench(*arguments)
    assert refused.returncode == 2
    assert "protocol: " in refused.stderr
    assert not (tmp_path / "new").exists()
    assert "Unlike: protocol" in run_bench(*arguments, "--allow-different").stdout
    none = run_bench(*arguments[:3], "--image-sizes", "32", "--precisions", "amp-bf16", *arguments[-2:])
    assert none.returncode == 2
    assert "no row of this matrix" in none.stderr


def test_what_is_neither_is_refused_before_anything_runs(run_bench: RunBench, fake_matrix: Path, tmp_path: Path):
    for against, said in (("no-such-ref", "no commit of this checkout"), ("none.jsonl", "no such file")):
        for mode in ([], ["--dry-run"]):
            done = run_bench("run", "--matrix", str(fake_matrix), "--against", against, *mode)
            assert done.returncode == 2
            assert said in done.stderr
    auto = run_bench(
        "run", "--matrix", str(fake_matrix), "--against", "none.jsonl", "--batch-sizes", "auto", "--dry-run"
    )
    assert auto.returncode == 2
    assert "with --batch-sizes 64" in auto.stderr
    assert not (tmp_path / "results").exists()
    broken = tmp_path / "broken" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\necho no such interpreter >&2; exit 3\n")
    broken.chmod(0o755)
    done = run_bench("run", "--matrix", str(fake_matrix), "--against", str(tmp_path / "broken"))
    assert done.returncode == 2
    assert "bench does not run there: no such interpreter" in done.stderr
