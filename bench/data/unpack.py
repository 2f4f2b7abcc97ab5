"""Unpacking: an archive becomes a folder, whole or not at all, and never writes beside it."""

import shutil
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

from bench.errors import JobError


def unpack(archive: Path, folder: Path, *, nested: bool = False) -> None:
    """Unpack a tar or zip file into a folder that is not there yet; `nested`: and each tar file inside into one of its own.

    It grows beside and is renamed when whole. Raises `JobError` for a broken archive, or one with a path that leads out.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    growing = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _extract(archive, growing)
        for inner in sorted(growing.glob("*.tar")) if nested else ():
            _extract(inner, growing / inner.stem)
            inner.unlink()
        growing.chmod(0o755)
        growing.rename(folder)
    finally:
        shutil.rmtree(growing, ignore_errors=True)


def _extract(archive: Path, folder: Path) -> None:
    try:
        if zipfile.is_zipfile(archive):
            _extract_zip(archive, folder)
            return
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    except tarfile.FilterError as error:
        raise JobError(f"{archive}: refused: {error}") from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise JobError(f"{archive}: is no whole archive: {error}") from error


def _extract_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        for name in packed.namelist():
            if not (folder / name).resolve().is_relative_to(folder.resolve()):
                raise JobError(f"{archive}: refused: {name!r} would be extracted outside the destination")
        packed.extractall(folder)
