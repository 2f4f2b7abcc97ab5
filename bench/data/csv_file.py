"""A CSV of labels: one line an image, with one label, several, or a column of 0 and 1 for each class."""

import csv
from pathlib import Path

import msgspec
import numpy as np

from bench.data.dataset import Dataset
from bench.data.parts import PARTS, deal, file_split, hold_out
from bench.errors import JobError

_FORMS = (
    "a CSV has a column `file` and then: `label`; or `labels`, separated by | or ;; or one column a class that holds "
    "0 or 1; a column `split` may say train, val or test"
)
_HELD_OUT = 0.125


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line: the image, the names of its labels, and the split it names, if any."""

    line: int
    file: str
    labels: tuple[str, ...]
    part: str | None


def read_csv(path: Path, image_size: int) -> Dataset:
    """Return the images that a CSV lists, with labels in [n] for a column `label`, else in [n, classes].

    Files are named relative to the CSV's folder. Without `split` each falls to training, validation or test (70, 10,
    20 %) by the hash of its name; where `split` names no validation, an eighth of training becomes it; where it names
    no test, the validation is the test. Raises `JobError`, which names the line, for whatever has not this form.
    """
    header, rows = _rows(path)
    single = "label" in header
    classes = _classes(header, rows)
    if len(classes) < 2:
        raise JobError(f"{path}: needs two classes; found {', '.join(classes) or 'none'}")
    parts = _parts(path, rows)
    _refuse_unseen(path, classes, parts["training"])
    splits = {}
    for part, chosen in parts.items():
        labels = np.array([[label in row.labels for label in classes] for row in chosen], dtype=np.int64)
        files = [path.parent / row.file for row in chosen]
        numbers = labels.reshape(-1, len(classes)).argmax(axis=1) if single else labels
        splits[part] = file_split(part, files, numbers, image_size, path)
    return Dataset(classes=classes, **splits)


def _rows(path: Path) -> tuple[list[str], list[_Row]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened, strict=True, skipinitialspace=True)
            header = list(reader.fieldnames or ())
            _check_header(path, header)
            rows = [_row(path, header, reader.line_num, cells) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise JobError(f"{path}: cannot be read: {error}") from error
    _refuse_repeated(path, rows)
    return header, rows


def _check_header(path: Path, header: list[str]) -> None:
    if len(header) == 1 and ";" in header[0]:
        raise JobError(f"{path}: columns are separated by commas, not semicolons; {_FORMS}")
    if "file" not in header:
        raise JobError(f"{path}: has no column `file` (found: {', '.join(header) or 'nothing'}); {_FORMS}")
    others = [name for name in header if name not in ("file", "split")]
    if not others:
        raise JobError(f"{path}: has no column of labels; {_FORMS}")
    if len(set(header)) != len(header):
        raise JobError(f"{path}: names a column twice; {_FORMS}")
    if {"label", "labels"} & set(others) and len(others) > 1:
        raise JobError(f"{path}: has `{'`, `'.join(others)}`, and one form only can be meant; {_FORMS}")


def _row(path: Path, header: list[str], line: int, cells: dict[str, str | None]) -> _Row:
    if None in cells or None in cells.values():
        raise JobError(f"{path}: line {line} has not the {len(header)} columns of the first line")
    whole = {name: str(cell).strip() for name, cell in cells.items()}
    file = whole.pop("file")
    part = _part(path, line, whole.pop("split")) if "split" in header else None
    if not file:
        raise JobError(f"{path}: line {line} names no file")
    return _Row(line=line, file=file, labels=_labels(path, line, whole), part=part)


def _labels(path: Path, line: int, cells: dict[str, str]) -> tuple[str, ...]:
    if "label" in cells:
        if not cells["label"]:
            raise JobError(f"{path}: line {line} has no label")
        return (cells["label"],)
    if "labels" in cells:
        found = (label.strip() for label in cells["labels"].replace(";", "|").split("|"))
        return tuple(label for label in found if label)
    for name, cell in cells.items():
        if cell not in ("0", "1"):
            raise JobError(f"{path}: line {line}, column {name}: {cell!r} is neither 0 nor 1; {_FORMS}")
    return tuple(name for name, cell in cells.items() if cell == "1")


def _part(path: Path, line: int, said: str) -> str:
    for part, names in PARTS.items():
        if said.lower() in names:
            return part
    raise JobError(f"{path}: line {line}: the split {said!r} is none of train, val and test")


def _refuse_repeated(path: Path, rows: list[_Row]) -> None:
    seen: dict[str, int] = {}
    for row in rows:
        if row.file in seen:
            raise JobError(
                f"{path}: line {row.line} names {row.file}, as line {seen[row.file]} does; one line an image"
            )
        seen[row.file] = row.line


def _classes(header: list[str], rows: list[_Row]) -> tuple[str, ...]:
    """Return the classes: the columns in their order, or the labels sorted."""
    columns = [name for name in header if name not in ("file", "split")]
    if columns[0] not in ("label", "labels"):
        return tuple(columns)
    return tuple(sorted({label for row in rows for label in row.labels}))


def _parts(path: Path, rows: list[_Row]) -> dict[str, list[_Row]]:
    if not any(row.part for row in rows):
        return deal(rows, lambda row: row.file)
    parts = {part: [row for row in rows if row.part == part] for part in PARTS}
    if not parts["test"]:
        parts |= {"test": parts["validation"], "validation": []}
    if not parts["training"] or not parts["test"]:
        raise JobError(f"{path}: the column split needs train and test, or train and val")
    if not parts["validation"]:
        parts["training"], parts["validation"] = hold_out(parts["training"], lambda row: row.file, _HELD_OUT)
    return parts


def _refuse_unseen(path: Path, classes: tuple[str, ...], training: list[_Row]) -> None:
    unseen = sorted(set(classes) - {label for row in training for label in row.labels})
    if unseen:
        raise JobError(f"{path}: no image to train on in {', '.join(unseen)}")
