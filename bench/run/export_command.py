"""`bench export`, from the command line and from Python: the folder of a training becomes formats below it.

Each in a process of its own: a converter may take the whole process with it, and leaves libraries as it wants them.
Nothing here imports a framework, or NumPy, before the framework's environment is set.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from bench.errors import JobError, how_ended, reason, unknown
from bench.export import FORMATS
from bench.frameworks import use
from bench.plan.files import PACKAGE
from bench.records.trained import MODEL, Trained, read_json

_PROCESS = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from bench.run.export_command import main; main(*sys.argv[1:])"
)


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """What was made, how long that took, and how it agrees with its source on some images."""

    file: str
    artifact_bytes: int
    export_seconds: float
    compared_images: int
    decisions: float
    maximum_relative_error: float


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """One format's outcome: an artifact, or the reason why there is none."""

    format: str
    artifact: Artifact | None = None
    reason: str | None = None

    @property
    def described(self) -> str:
        """The outcome in one line."""
        if (made := self.artifact) is None:
            return f"{self.format}: {self.reason}"
        return (
            f"{self.format}: {made.file}, {made.artifact_bytes / 2**20:.1f} MiB in {made.export_seconds:.1f} s; of "
            f"{made.compared_images} images it decides the same for {made.decisions:.1%}, largest error "
            f"{made.maximum_relative_error:.0e} of the largest logit"
        )


def check_names(formats: Sequence[str]) -> None:
    """Raise `UsageError` for a format that does not exist."""
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)


def run(folder: Path, formats: Sequence[str], tell: Callable[[str], None]) -> Iterator[Exported]:
    """Export what `bench train` left in a folder to each format, and yield how each went; `tell` gets what happens meanwhile."""
    check_names(formats)
    read_json(folder / MODEL, Trained)  # Raises before anything is begun.
    for name in formats:
        tell(f"{name}: exporting, and asking what was made about images of the test split")
        yield _export(folder, name, tell)


def export_all(folder: Path, formats: Sequence[str], tell: Callable[[str], None]) -> None:
    """Export what a training has left, telling how each format went; raise `JobError` once all are tried."""
    failed = []
    for exported in run(folder, formats, tell):
        tell(exported.described)
        failed += [exported.format] if exported.reason else []
    if failed:
        raise JobError(f"the model is trained and lies in {folder}, but was not exported to {', '.join(failed)}")


def _export(folder: Path, name: str, tell: Callable[[str], None]) -> Exported:
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryFile("w+", errors="replace") as log:
        outcome = Path(place, "outcome.json")
        with subprocess.Popen(
            [sys.executable, "-P", "-c", _PROCESS, str(PACKAGE.parent), str(folder), name, str(outcome)],
            process_group=0,  # An interruption is ours to pass on: once, and it clears up behind itself.
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            errors="replace",
        ) as process:
            try:
                assert process.stdout is not None, "it is a pipe"
                for line in process.stdout:
                    tell(line.rstrip())
                process.wait()
            except BaseException:
                process.send_signal(signal.SIGINT)
                raise
        exported = Exported(format=name, reason=f"its process {how_ended(process.returncode)}")
        if outcome.exists():
            exported = msgspec.json.decode(outcome.read_bytes(), type=Exported)
        if exported.reason is not None:
            log.seek(0)
            print(log.read(), end="", file=sys.stderr, flush=True)
        return exported


def main(folder: str, name: str, outcome: str) -> None:
    """Export to one format in this process, and leave in a file how that went.

    What is told goes to standard output; what converters print there, in Python or below it, joins their errors.
    """
    # A shell has it ignored in what it runs in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # A converter may take it along.
    try:
        trained = read_json(Path(folder, MODEL), Trained)
        use(trained.cell.framework)
        from bench.run.exported import export

        made, agreement = export(Path(folder), trained, name, lambda said: print(said, file=told, flush=True))
        artifact = Artifact(
            file=str(Path(folder, "exports", name, made.artifacts[1].name)),
            artifact_bytes=made.artifact_bytes,
            export_seconds=made.export_seconds,
            compared_images=agreement.images,
            decisions=agreement.decisions,
            maximum_relative_error=agreement.relative,
        )
        exported = Exported(format=name, artifact=artifact)
    except KeyboardInterrupt:
        sys.exit(1)  # Whoever interrupted it asks for nothing more.
    except Exception as error:  # A converter raises anything.
        exported = Exported(format=name, reason=reason(error))
    Path(outcome).write_bytes(msgspec.json.encode(exported))
