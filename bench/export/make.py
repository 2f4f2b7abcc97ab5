"""Making artifacts, whole or not at all, and asking them in processes of their own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from bench.data.dataset import Split, spread
from bench.errors import JobError, last_words
from bench.export.find import find_exporter
from bench.export.format import UNTIMED, Answer, Format, Question, Timed, Wanted
from bench.frameworks.trial import Source, Trial
from bench.plan.files import PACKAGE

# As many images of the training split show a quantiser what values there are.
CALIBRATION_IMAGES = 256
_RUNTIME = "import sys; sys.path.insert(0, sys.argv.pop(1)); from bench.export.runtime import main; main(*sys.argv[1:])"


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What was made of one model: of a static format an artifact for each batch size, else one for all.

    `export_seconds` and `artifact_bytes` are of the first one alone. `method`: what the exporter says it did.
    """

    format: str
    chosen: Format
    artifacts: dict[int, Path]
    export_seconds: float
    artifact_bytes: int
    method: str

    def question(
        self, pixels: Path, batch_size: int, threads: int, *, logits: Path | None = None, timed: Timed = UNTIMED
    ) -> Question:
        """Return the question to the artifact that takes such batches; `pixels` and `logits` are files, as its fields say."""
        return Question(
            format=self.format,
            artifact=str(self.artifacts[batch_size]),
            pixels=str(pixels),
            batch_size=batch_size,
            threads=threads,
            logits=str(logits) if logits else None,
            requests=timed.requests,
            seconds=timed.seconds,
        )

    def ask(self, *questions: Question, limit_seconds: float | None = None) -> tuple[Answer, ...]:
        """Ask questions for the same number of threads, one after the other in one fresh process; return an answer to each.

        Raises `JobError` with its last words where it does not answer. `limit_seconds`: how long all may take, where no job's
        own limit ends it.
        """
        threads = str(questions[0].threads)
        # fp32 is fp32 there; and what runs on the CPU must not find a GPU, and take memory of it.
        gpu = {"NVIDIA_TF32_OVERRIDE": "0"} if self.chosen.device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            asked, answered = Path(folder, "questions.json"), Path(folder, "answers.json")
            asked.write_bytes(msgspec.json.encode(questions))
            with subprocess.Popen(
                [sys.executable, "-P", "-c", _RUNTIME, str(PACKAGE.parent), str(asked), str(answered)],
                # What it leaves behind where it is killed goes with the folder.
                env=os.environ | {"OMP_NUM_THREADS": threads, "TMPDIR": folder} | gpu,
                process_group=0,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            ) as process:
                try:
                    said = process.communicate(timeout=limit_seconds)[1]
                except subprocess.TimeoutExpired:
                    raise JobError(f"{self.format} was not run: no answer within {limit_seconds:g} s") from None
                finally:  # However this ends, a browser or Node.js that the process began does not outlive it.
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
            print(said, file=sys.stderr)
            if process.returncode or not answered.exists():
                raise JobError(f"{self.format} was not run: {last_words(process.returncode, said)}")
            return msgspec.json.decode(answered.read_bytes(), type=tuple[Answer, ...])


def make(name: str, source: Source, training: Split, trial: Trial, folder: Path, batch_sizes: Sequence[int]) -> Made:
    """Export a model into a folder, new or empty, for the first batch size first; raise what the exporter raises."""
    chosen, exporter = find_exporter(name, source.kind)
    shown = spread(training, CALIBRATION_IMAGES)
    pixels = trial.normalise(training.batch(shown)) if chosen.precision == "int8" else None
    folder.mkdir(exist_ok=True)
    artifact = folder / f"model{chosen.suffix}"
    begun = time.perf_counter()
    method = exporter.export(source, Wanted(artifact, batch_sizes[0] if chosen.static else None, pixels))
    seconds = time.perf_counter() - begun
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    artifacts = dict.fromkeys(batch_sizes, artifact)
    if chosen.static:
        for batch_size in batch_sizes[1:]:
            artifacts[batch_size] = folder / f"model-{batch_size}{chosen.suffix}"
            exporter.export(source, Wanted(artifacts[batch_size], batch_size, pixels))
    return Made(
        format=name, chosen=chosen, artifacts=artifacts, export_seconds=seconds, artifact_bytes=size, method=method
    )


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes another's place at the end, or on an error leaves it as it was.

    Whatever ends this, a whole folder is there: FOLDER, or in the moment between two renames FOLDER.before and FOLDER.part.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside, before = (folder.with_name(f"{folder.name}.{part}") for part in ("part", "before"))
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        yield beside
        shutil.rmtree(before, ignore_errors=True)
        with suppress(FileNotFoundError):
            folder.rename(before)
        beside.rename(folder)
        shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
