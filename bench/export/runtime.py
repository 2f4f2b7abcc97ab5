"""The process that runs an artifact: it imports the format's runtime and nothing of what the model was trained with.

`main QUESTIONS ANSWERS`: two files of JSON.
"""

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.errors import JobError
from bench.export.find import find
from bench.export.format import Answer, Floats, Question, Run
from bench.measure.timing import Requests, rotating, time_requests

T = TypeVar("T")
TRAINING_FRAMEWORKS = ("jax", "keras", "tensorflow", "timm", "torch", "torchvision")


def main(questions_file: str, answers_file: str) -> None:
    """Answer the questions in one file, all of one format, in order, and leave the answers in another, whole or not at all."""
    questions = msgspec.json.decode(Path(questions_file).read_bytes(), type=list[Question])
    chosen = find(questions[0].format)
    for package in chosen.packages:  # Before anything is timed.
        importlib.import_module(package)
    try:
        answers = [chosen.answer(question) for question in questions]
    except JobError as error:
        sys.exit(str(error))
    beside = Path(f"{answers_file}.part")
    beside.write_bytes(msgspec.json.encode(answers))
    beside.rename(answers_file)


def python_runtime(load: Callable[[Path, int], Run]) -> Callable[[Question], Answer]:
    """Return what answers with a runtime that Python calls.

    `load(artifact, threads)` returns a function from normalised pixels to logits, float32 in [n, classes], both on the host.
    """

    def answer(question: Question) -> Answer:
        import numpy as np

        from bench.measure.memory import peak_resident_bytes

        pixels, size = np.load(question.pixels, mmap_mode="r"), question.batch_size
        if pixels.dtype != np.float32:  # Some runtimes would cast it without a word, within what is timed.
            raise JobError(f"the images are {pixels.dtype}, and an artifact takes float32")
        batches = [
            np.ascontiguousarray(pixels[np.arange(start * size, (start + 1) * size) % len(pixels)])
            for start in range(min(question.batches, -(-len(pixels) // size)))
        ]
        run, load_seconds = _timed(lambda: load(Path(question.artifact), question.threads))
        _, first_seconds = _timed(lambda: run(batches[0]))
        step = rotating(batches, run)
        requests = Requests(seconds=(), begun_seconds=(), group_sizes=())
        if question.requests:
            time_requests(step, _answered, requests=sys.maxsize, seconds=question.warmup_seconds)
            requests = time_requests(step, _answered, requests=question.requests, seconds=question.seconds)
        peak = peak_resident_bytes()
        if question.logits is not None:
            np.save(question.logits, _logits(run, pixels, size))
        return Answer(
            load_seconds=load_seconds,
            first_inference_seconds=first_seconds,
            latency_seconds=requests.seconds,
            latency_begun_seconds=requests.begun_seconds,
            latency_group_sizes=requests.group_sizes,
            peak_resident_bytes=peak,
            training_frameworks=tuple(name for name in TRAINING_FRAMEWORKS if name in sys.modules),
        )

    return answer


def _logits(run: Run, pixels: Floats, size: int) -> Floats:
    """Return the logits of every image, the last batch filled up with images that are answered twice."""
    import numpy as np

    found = [
        np.array(run(np.ascontiguousarray(pixels[np.arange(start, start + size) % len(pixels)])), np.float32)
        for start in range(0, len(pixels), size)
    ]
    return np.concatenate(found)[: len(pixels)]


def _answered() -> None:
    """A runtime returns logits in host memory: nothing is left to wait for."""


def _timed(action: Callable[[], T]) -> tuple[T, float]:
    begun = time.perf_counter()
    result = action()
    return result, time.perf_counter() - begun
