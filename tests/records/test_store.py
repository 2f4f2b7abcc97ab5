"""A results file loses no whole line, whatever happens to the disk, the process or the schema."""

import json
import resource
from pathlib import Path

import msgspec
import pytest

from bench.errors import UsageError
from bench.records.accuracy import Accuracy
from bench.records.record import SCHEMA, Record, Training
from bench.records.store import IncompleteRecord, Writer, latest, read, read_file

FIXTURE = Path(__file__).parent / "schema-1.jsonl"


@pytest.fixture
def record() -> Record:
    return read_file(FIXTURE)[0]


def test_the_second_schema_is_still_read_and_its_top1_is_a_score():
    records = read_file(FIXTURE.with_name("schema-2.jsonl"))
    assert {record.schema for record in records} == {SCHEMA}
    (accuracy,) = [record.figures for record in records if isinstance(record.figures, Accuracy)]
    assert [epoch.validation_score for epoch in accuracy.epochs][-1] > 0.9
    assert {(epoch.trained, epoch.training_seconds, epoch.wait_seconds) for epoch in accuracy.epochs} == {
        ("all", None, None)
    }


def test_the_first_schema_is_still_read():
    records = read_file(FIXTURE)
    assert {record.schema for record in records} == {SCHEMA}
    assert all(record.protocol.processes_at_most == record.protocol.processes for record in records), "it added none"
    assert {record.telemetry for record in records} == {None}
    assert {record.measurement for record in records} == {
        "build",
        "training",
        "accuracy",
        "inference",
        "memory",
        "export:onnx",
        "export:torchscript",
    }
    assert {record.status for record in records} == {"ok", "unsupported"}
    written = [json.loads(line)["figures"] for line in FIXTURE.read_text().splitlines()]
    sums = [figures["loader"] for figures in written if figures and "loader" in figures]
    loaders = [record.figures.loader for record in records if isinstance(record.figures, Training)]
    assert sums == [
        {"steps": one.steps, "total_seconds": one.total_seconds, "wait_seconds": one.wait_seconds} for one in loaders
    ]
    assert {one.first_step_seconds for one in loaders} == {None}


def test_what_is_appended_is_read_back(tmp_path: Path, record: Record):
    with Writer(tmp_path / "new" / "a.jsonl") as writer:
        writer.append(record)
        assert read(tmp_path / "new") == [record], "a record is on disk before the file is closed"
        writer.append(record)
    assert read_file(tmp_path / "new" / "a.jsonl") == [record, record]


def test_a_torn_last_line_is_passed_over_and_cut_off_by_the_next_run(tmp_path: Path, record: Record):
    file = tmp_path / "a.jsonl"
    with Writer(file) as writer:
        writer.append(record)
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:-10])
    with pytest.warns(IncompleteRecord, match="a.jsonl:2: the last record is incomplete and ignored"):
        assert read_file(file) == [record]
    with Writer(file) as writer:
        writer.append(record)
    assert file.read_bytes() == whole * 2


def test_a_file_that_is_all_one_torn_line_becomes_empty(tmp_path: Path, record: Record):
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"schema":1,' + b"x" * 200_000)
    with Writer(file) as writer:
        writer.append(record)
    assert read_file(file) == [record]


def test_two_runs_cannot_write_one_file(tmp_path: Path):
    with Writer(tmp_path / "a.jsonl"), pytest.raises(UsageError, match="another run is writing"):
        Writer(tmp_path / "a.jsonl")


def test_a_full_disk_keeps_every_whole_line(tmp_path: Path, record: Record):
    file = tmp_path / "a.jsonl"
    with Writer(file) as writer:
        writer.append(record)
        whole = file.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 100, limits[1]))
        try:
            with pytest.raises(UsageError, match="everything before it is kept"):
                writer.append(record)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert file.read_bytes() == whole
        writer.append(record)
    assert read_file(file) == [record, record]


def test_a_newer_schema_is_refused_with_its_number(tmp_path: Path, record: Record):
    file = tmp_path / "a.jsonl"
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(record, schema=SCHEMA + 1)) + b"\n")
    with pytest.raises(UsageError, match=rf"a\.jsonl:1: written by a newer bench \(schema {SCHEMA + 1}\)"):
        read_file(file)


def test_a_line_that_is_no_record_is_named(tmp_path: Path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(FIXTURE.read_bytes() + b'{"schema":1}\n')
    number = FIXTURE.read_bytes().count(b"\n") + 1
    with pytest.raises(UsageError, match=rf"a\.jsonl:{number}: not a record"):
        read_file(file)


def test_a_folder_that_cannot_be_made_is_named():
    with pytest.raises(UsageError, match="/proc/none"):
        Writer(Path("/proc/none/a.jsonl"))


def test_a_run_that_wrote_nothing_leaves_no_file(tmp_path: Path):
    with Writer(tmp_path / "a.jsonl"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_job_tried_again_counts_by_its_last_record(record: Record):
    failed = msgspec.structs.replace(record, status="failed", figures=None)
    assert latest([failed, record]) == [record]
