"""Downloading: the files of a data set come into the cache, resumed where cut, checked before they are unpacked."""

import fcntl
import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from bench.data.cache import by_hand, describe, folder, missing, place
from bench.data.unpack import unpack
from bench.errors import JobError, Unavailable
from bench.plan.cards import DatasetCard, DatasetFile

# Called with a file's name, the bytes done, and all bytes where they are known.
Progress = Callable[[str, int, int | None], None]

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 60.0
_TRIES = 5  # In a row without a single new byte.


def download(name: str, card: DatasetCard, progress: Progress) -> Path:
    """Bring what is missing of a data set into its folder and return that.

    A file that lies there already, put by hand, is checked and unpacked as if it had been downloaded, and kept; one that is
    not unpacked is checked each time. Raises `Unavailable`, which says which file to put where, when one cannot be had, and
    `JobError` for a broken one.
    """
    target = folder(name)
    target.mkdir(parents=True, exist_ok=True)
    with _alone(target):
        lacking = missing(name, card)
        absent = [file for file in lacking if file.url is None and not (target / file.name).exists()]
        if absent:
            raise Unavailable(by_hand(name, absent, card))
        for file in card.files:
            if file in lacking:
                _complete(name, file, progress)
            elif file.into is None:
                _check(place(name, file), file)
    return target


def _complete(name: str, file: DatasetFile, progress: Progress) -> None:
    archive = folder(name) / file.name
    given = archive.exists()
    if given:
        _check(archive, file)
    else:
        assert file.url is not None, "files without an address were asked for before"
        part = archive.with_name(f"{file.name}.part")
        _fetch(file.url, part, file, progress)
        _check(part, file)
        part.rename(archive)
    if file.into is not None:
        unpack(archive, place(name, file), nested=file.nested)
        if not given:
            archive.unlink()


def _check(path: Path, file: DatasetFile) -> None:
    """Raise `JobError` where a file is not the one that was published; one that was downloaded is removed."""
    if file.checksum is None:
        return
    kind, _, expected = file.checksum.partition(":")
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, kind).hexdigest()
    if found != expected:
        downloaded = path.suffix == ".part"
        if downloaded:
            path.unlink()
        advice = "it was removed; try again" if downloaded else "remove it, or put the right one there"
        raise JobError(f"{path}: has {kind} {found}, not {expected} as published: {advice}")


def _fetch(url: str, part: Path, file: DatasetFile, progress: Progress) -> None:
    """Append to `part` until it is whole; go on after a cut connection as long as each try brings something."""
    tries = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _fetch_once(url, part, file, progress):
                return
            reason: object = "the connection was cut"
        except (OSError, HTTPException) as error:
            if _final(error):
                raise _unavailable(part, file, error) from error
            reason = error
        tries = 0 if part.exists() and part.stat().st_size > before else tries + 1
        if tries == _TRIES:
            raise _unavailable(part, file, reason)


def _final(error: Exception) -> bool:
    """Say that trying again is of no use: the server says no, or there is no network or no room on the disk."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code < 500
    return not isinstance(error, (TimeoutError, ConnectionError, HTTPException))


def _unavailable(part: Path, file: DatasetFile, reason: object) -> Unavailable:
    reason = reason if isinstance(reason, urllib.error.HTTPError) else getattr(reason, "reason", reason)
    return Unavailable(f"cannot be downloaded: {reason}. Put into {part.parent}: {describe(file)}; then type it again")


def _fetch_once(url: str, part: Path, file: DatasetFile, progress: Progress) -> bool:
    """Ask for what `part` lacks, append it, and return whether the file is whole."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "imagebench", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers=headers | ({"Range": f"bytes={have}-"} if have else {}))
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        return _beyond(error.headers.get("Content-Range"), part, have)
    with response:
        if response.status != 206:  # The server knows no ranges and sends everything.
            have = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise HTTPException(f"the server was asked for bytes {have} on and sent others")
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else file.bytes
        with part.open("ab" if have else "wb") as written:
            while chunk := response.read(_CHUNK):
                written.write(chunk)
                have += len(chunk)
                progress(file.name, have, total)
    return total is None or have >= total


def _beyond(content_range: str | None, part: Path, have: int) -> bool:
    """Return whether a range that the server does not have means that all of it is here; else begin anew."""
    if content_range == f"bytes */{have}":
        return True
    part.unlink()
    return False


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold the folder for this process; raise `Unavailable` where another one downloads into it."""
    with (target / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unavailable(f"{target}: another process downloads into it; wait for that") from None
        yield
