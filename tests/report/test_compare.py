"""Two sets of results: what is matched, what is refused, what is said, and with which exit status."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bench.errors import UsageError
from bench.measure.timing import Blocks
from bench.records.record import LoaderTiming, Record, Training
from bench.records.store import read_file
from bench.report.compare import compare, part, slower, table

RunBench = Callable[..., subprocess.CompletedProcess[str]]
FIXTURE = Path(__file__).parents[1] / "records" / "schema-1.jsonl"


def run(*seconds: float, **changes: object) -> list[Record]:
    """Return one training a process, whose blocks took so long; `changes` go into the cell."""
    first = next(r for r in read_file(FIXTURE) if isinstance(r.figures, Training))
    assert isinstance(first.figures, Training)
    records = []
    for process, took in enumerate(seconds):
        blocks = Blocks(warmup_step_seconds=(took,), steps_per_block=1, block_seconds=(took, took))
        loader = LoaderTiming(steps=1, total_seconds=took, wait_seconds=0.0)
        figures = msgspec.structs.replace(first.figures, resident=blocks, loader=loader)
        cell = msgspec.structs.replace(first.cell, **changes)
        records.append(msgspec.structs.replace(first, cell=cell, process=process, figures=figures))
    return records


QUICK, SLOW = (1.0, 1.01, 0.99, 1.005), (1.2, 1.21, 1.19, 1.205)


@pytest.mark.parametrize(
    ("a", "b", "expected"), [(SLOW, QUICK, "FASTER"), (QUICK, SLOW, "SLOWER"), (QUICK, QUICK, "SAME")]
)
def test_more_images_a_second_are_faster(a: tuple[float, ...], b: tuple[float, ...], expected: str):
    found = compare(part("a", run(*a)), part("b", run(*b)), margin=0.05)
    pair = next(pair for pair in found.pairs if pair.quantity == "training")
    assert pair.verdict is not None
    assert pair.verdict.judgement == expected
    assert slower(found) is (expected == "SLOWER")


def test_a_row_of_one_process_has_no_verdict():
    found = compare(part("a", run(*QUICK)), part("b", run(1.0)), margin=0.05)
    assert {pair.verdict for pair in found.pairs} == {None}
    assert {row[-1] for row in table(found).rows} == {"too few processes"}


def test_labels_set_two_parts_of_one_file_against_each_other():
    records = [*run(*QUICK, framework="timm"), *run(*SLOW, framework="torchvision")]
    found = compare(part("f:framework=timm", records), part("f:framework=torchvision", records), margin=0.05)
    assert found.unmatched == 0
    assert [pair.quantity for pair in found.pairs] == ["training", "training from the loader"]
    assert "framework" not in found.pairs[0].cell
    with pytest.raises(UsageError, match="did you mean 'framework'"):
        part("f:framwork=timm", records)
    with pytest.raises(UsageError, match="no results"):
        part("f:framework=keras-jax", records)


def test_what_one_side_alone_has_is_counted():
    found = compare(part("a", [*run(*QUICK), *run(*QUICK, image_size=96)]), part("b", run(*QUICK)), margin=0.05)
    assert found.unmatched == 2
    assert len(found.pairs) == 2


def test_other_software_and_another_protocol_are_told():
    other = []
    for record in run(*QUICK):
        there = msgspec.structs.replace(record.environment, packages=record.environment.packages | {"torch": "2.0"})
        longer = msgspec.structs.replace(record.protocol, warmup_steps=999, processes=50, processes_at_most=50)
        other.append(msgspec.structs.replace(record, environment=there, protocol=longer))
    found = compare(part("a", run(*QUICK)), part("b", other), margin=0.05)
    assert [difference.partition(":")[0] for difference in found.differences] == ["protocol", "torch"]
    assert "2.0 in B" in found.differences[1]


def written(file: Path, records: list[Record]) -> str:
    file.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    return str(file)


def test_the_command_refuses_unlike_runs_and_fails_on_slower(tmp_path: Path, run_bench: RunBench):
    a = written(tmp_path / "a.jsonl", run(*QUICK))
    b = written(tmp_path / "b.jsonl", run(*SLOW))
    assert run_bench("compare", a, b).returncode == 0
    failed = run_bench("compare", a, b, "--json", "--fail-on", "slower")
    assert failed.returncode == 1
    assert {pair["verdict"]["judgement"] for pair in json.loads(failed.stdout)["pairs"]} >= {"SLOWER"}
    other = [
        msgspec.structs.replace(r, environment=msgspec.structs.replace(r.environment, python="3.0.0"))
        for r in run(*SLOW)
    ]
    c = written(tmp_path / "c.jsonl", other)
    refused = run_bench("compare", a, c)
    assert refused.returncode == 2
    assert "3.0.0 in B" in refused.stderr
    allowed = run_bench("compare", a, c, "--allow-different")
    assert allowed.returncode == 0
    assert "Unlike: python" in allowed.stdout
    assert run_bench("compare", a, b, "--fail-on", "faster").returncode == 2
