"""Installations: whose interpreter and whose code a job runs in, ours or what it is held against."""

import contextlib
import io
import site
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.errors import UsageError
from bench.plan.files import PACKAGE, cards_folder
from bench.records.environment import Environment, environment
from bench.run.server import BEGINNING

_CARDS = ("models", "datasets")


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """An interpreter and the folder that holds the package.

    `first`: whether that folder comes before what the interpreter has installed, as a checkout must, for another may be
    installed; where the folder is the interpreter's own, its place is last.
    """

    python: str
    root: str
    first: bool

    @property
    def arguments(self) -> tuple[str, str]:
        """What `BEGINNING` expects on the command line."""
        return ("0" if self.first else str(sys.maxsize), self.root)


OURS = Installation(
    python=sys.executable, root=str(PACKAGE.parent), first=str(PACKAGE.parent) not in site.getsitepackages()
)


@contextlib.contextmanager
def opened(against: str) -> Iterator[tuple[Installation, Environment]]:
    """Yield the installation that a virtual environment's folder or a git ref of this checkout names, and its environment.

    A virtual environment runs this very code on its own packages; a ref runs its own code on our packages. Raises
    `UsageError` where the text is neither, or where the interpreter there cannot import `bench`.
    """
    with tempfile.TemporaryDirectory(prefix="bench-against-") as folder:
        python = Path(against).absolute() / "bin" / "python"
        commit = None
        if python.exists():
            _link(Path(folder))
            found = Installation(python=str(python), root=folder, first=True)
        else:
            commit = _export(against, Path(folder))
            found = Installation(python=sys.executable, root=folder, first=True)
        there = _ask_environment(found, against)
        if commit is not None:
            there = msgspec.structs.replace(there, commit=commit, dirty=False)
        yield found, msgspec.structs.replace(there, command=environment().command)


def _link(folder: Path) -> None:
    (folder / PACKAGE.name).symlink_to(PACKAGE)
    for kind in _CARDS:
        if PACKAGE not in cards_folder(kind).parents:
            (folder / kind).symlink_to(cards_folder(kind))


def _export(ref: str, folder: Path) -> str:
    """Write the package as it was at a ref into a folder and return the ref's commit."""
    git = ["git", "-C", str(PACKAGE.parent)]
    named = subprocess.run(
        [*git, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}"], capture_output=True, text=True
    )
    if named.returncode:
        raise UsageError(
            f"--against {ref!r} is no results file, no virtual environment, and no commit of this checkout"
        )
    commit = named.stdout.strip()
    archive = subprocess.run([*git, "archive", commit, PACKAGE.name, *_CARDS], capture_output=True)
    if archive.returncode:
        raise UsageError(f"--against {ref!r}: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return commit


def _ask_environment(there: Installation, against: str) -> Environment:
    code = (
        f"{BEGINNING}import sys, msgspec; from bench.records.environment import environment; "
        "sys.stdout.buffer.write(msgspec.json.encode(environment()))"
    )
    asked = subprocess.run([there.python, "-P", "-c", code, *there.arguments], capture_output=True)
    if asked.returncode:
        last = asked.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UsageError(f"--against {against!r}: bench does not run there: {' '.join(last)}")
    try:
        return msgspec.json.decode(asked.stdout, type=Environment)
    except msgspec.DecodeError as error:
        raise UsageError(
            f"--against {against!r}: bench there describes its environment otherwise than this one: {error}"
        ) from None
