"""The store: one results file a run, one line a record, appended and on disk before the next job starts."""

import fcntl
import os
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from bench.errors import UsageError
from bench.records.record import SCHEMA, Record

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Record)


class IncompleteRecord(UserWarning):
    """The last line of a results file has no end: a run died while it wrote it, or the file was cut."""


class _Version(msgspec.Struct):
    schema: int


_VERSION = msgspec.json.Decoder(_Version)
_OF_A_TIMING = (
    "threads",
    "load_seconds",
    "first_inference_seconds",
    "latency_seconds",
    "latency_begun_seconds",
    "latency_group_sizes",
)


class Writer:
    """Appends records to one file that nobody else may write. A torn last line is cut off when it opens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise UsageError(f"{path}: another run is writing this file") from None
        _cut_torn_line(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        empty = os.fstat(self._file).st_size == 0
        os.close(self._file)
        if empty:
            self.path.unlink(missing_ok=True)

    def append(self, record: Record) -> None:
        """Write one line and wait until it is on disk; on a full disk the file keeps every whole line it had."""
        size = os.fstat(self._file).st_size
        line = _ENCODER.encode(record) + b"\n"
        try:
            if os.write(self._file, line) != len(line):
                raise OSError(28, os.strerror(28))
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, size)
            raise UsageError(
                f"{self.path}: {error.strerror}; the {record.measurement} of {record.cell.id} is lost, "
                "everything before it is kept: make room and go on with --resume"
            ) from None


def _cut_torn_line(file: int) -> None:
    """Remove what a run that died in the middle of a line left behind its last newline."""
    end = position = os.fstat(file).st_size
    while position > 0:
        begin = max(0, position - 65536)
        newline = os.pread(file, position - begin, begin).rfind(b"\n")
        if newline >= 0:
            position = begin + newline + 1
            break
        position = begin
    if position != end:
        os.ftruncate(file, position)
        os.fsync(file)


def read_file(path: Path) -> list[Record]:
    """Return the records of one file, in order; a torn last line is passed over with a warning, `IncompleteRecord`.

    Raises `UsageError` that names the line for a newer schema and for a line that is no record.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    if lines[-1]:
        warnings.warn(f"{path}:{len(lines)}: the last record is incomplete and ignored", IncompleteRecord, stacklevel=2)
    return [_decode(line, f"{path}:{number}") for number, line in enumerate(lines[:-1], start=1) if line.strip()]


def read(path: Path) -> list[Record]:
    """Return the records of a file, or of every *.jsonl file of a folder in the order of their names."""
    if path.is_dir():
        return [record for file in sorted(path.glob("*.jsonl")) for record in read_file(file)]
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; measure something first: bench run --matrix smoke")
    return read_file(path)


def latest(records: list[Record]) -> list[Record]:
    """Return one record a job of each run: the last, where a job was tried again."""
    return list({(record.run, *record.key): record for record in records}.values())


def _decode(line: bytes, where: str) -> Record:
    try:
        schema = _VERSION.decode(line).schema
        if schema < SCHEMA:
            return msgspec.convert(_upgraded(msgspec.json.decode(line)), Record)
        if schema > SCHEMA:
            raise UsageError(
                f"{where}: written by a newer bench (schema {schema}); this one reads up to {SCHEMA}: "
                "pip install --upgrade imagebench"
            )
        return _DECODER.decode(line)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise UsageError(f"{where}: not a record: {error}") from None


def _upgraded(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record of an earlier schema as one of today.

    Schema 1 had a fixed number of processes and a warm-up that looked for nothing; 1 and 2 kept of the loader sums only, and
    called an epoch's score its top-1. Up to 3 an artifact was run once, for single images; up to 4 nobody looked for images
    in two splits.
    """
    added: dict[str, Any] = {"schema": SCHEMA}
    if record["schema"] < 2:
        old = record.get("protocol", {})
        limits = {"processes_at_most": old.get("processes"), "warmup_at_most_seconds": old.get("warmup_seconds")}
        added["protocol"] = old | limits
    figures = record.get("figures") or {}
    for epoch in figures.get("epochs", ()):
        if "validation_top1" in epoch:
            epoch["validation_score"] = epoch.pop("validation_top1")
    if "loader" in figures and record["schema"] < 3:
        figures["loader"] = _loader_of_sums(figures["loader"])
    if figures.get("kind") == "export" and record["schema"] < 4:
        figures["timings"] = [{"batch_size": 1} | {name: figures.pop(name) for name in _OF_A_TIMING if name in figures}]
    return record | added


def _loader_of_sums(sums: dict[str, Any]) -> dict[str, Any]:
    block = {
        "begun_seconds": None,
        "steps": sums.get("steps"),
        "step_seconds": [sums.get("total_seconds")],
        "wait_seconds": [sums.get("wait_seconds")],
    }
    return {"first_step_seconds": None, "first_wait_seconds": None, "blocks": [block]}
