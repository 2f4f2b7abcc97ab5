"""Data files: where they lie, and how one is read strictly into a type."""

import difflib
import hashlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

import bench
from bench.errors import UsageError

T = TypeVar("T")

PACKAGE = Path(bench.__file__).parent
MATRICES = PACKAGE / "plan" / "matrices"
RECIPES = PACKAGE / "plan" / "recipes"


def cards_folder(kind: str) -> Path:
    """Return the folder of the `models` or `datasets` cards: in the wheel, or beside the package in a checkout."""
    installed = PACKAGE / "cards" / kind
    return installed if installed.is_dir() else PACKAGE.parent / kind


def names(folder: Path) -> tuple[str, ...]:
    """Return the names of the TOML files in a folder, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


@cache
def file_hash(path: Path) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def folder_hash(folder: Path) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of the names, sizes and times of change of a folder's files."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            found = file.stat()
            digest.update(f"{file.relative_to(folder)} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def read_toml(path: Path, kind: type[T], complete: Callable[[dict[str, Any]], None] | None = None) -> T:
    """Read one TOML file as `kind`; raise `UsageError` that names the file and the key when it does not fit.

    `complete` may put into the file's tables what stands elsewhere, before they are checked.
    """
    try:
        tables = msgspec.toml.decode(path.read_bytes(), type=dict[str, Any])
        if complete is not None:
            complete(tables)
        return msgspec.convert(tables, kind)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}{_spelling(str(error), kind)}") from None


def _spelling(message: str, kind: type) -> str:
    """Return what would have been right, where it can be told: the key that is meant, or the values that are allowed."""
    value = re.search(r"Invalid enum value .* - at `\$\.(\w+)`", message)
    if value:
        (field,) = (field for field in msgspec.structs.fields(kind) if field.encode_name == value[1])
        return f"; there are {', '.join(_values(field.type))}"
    found = re.search(r"unknown field `(.+?)`", message)
    if not found:
        return ""
    close = difflib.get_close_matches(found[1], _fields(kind, set()), n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else ""


def _values(kind: object) -> list[str]:
    """Return the strings that a type of literals allows."""
    return [kind] if isinstance(kind, str) else [v for part in getattr(kind, "__args__", ()) for v in _values(part)]


def _fields(kind: object, seen: set[object]) -> set[str]:
    """Return every field name of a struct and of the structs inside it."""
    if kind in seen:
        return set()
    seen.add(kind)
    found: set[str] = set()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            found |= {field.encode_name} | _fields(field.type, seen)
    for argument in getattr(kind, "__args__", ()):
        found |= _fields(argument, seen)
    return found
