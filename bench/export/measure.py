"""What one export costs: made here, run in processes of its own that have only its runtime, and held against its source."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from bench.data.dataset import Split, spread, subset
from bench.errors import JobError, Unavailable, Unsupported
from bench.export.find import find, find_exporter
from bench.export.format import UNTIMED, Answer, Floats, Timed
from bench.export.gate import Agreement, agreement, check
from bench.export.make import Made, make
from bench.frameworks import source_kind
from bench.frameworks.trial import Trial
from bench.measure.accuracy import leave_weights
from bench.measure.context import Context
from bench.measure.scores import top_k
from bench.plan.protocol import Protocol
from bench.records.record import ArtifactTiming, Export

# Some libraries start the last normalisation of each residual block at zero. Left so, half of the network could be wrong
# without a difference, and an exporter may fold it away: the artifact would be smaller and faster than a trained one.
# Batch normalisation's running values are of nothing where a batch is a single image.
TRAINING_STEPS, TRAINING_BATCH = 8, 16
# Of a batch a throughput is asked, whose median takes fewer requests than a latency's tail.
BATCH_SHARE = 1 / 3
# Of the images that the largest batch answers for the gate, so many are answered at the other sizes.
COMPARED_AGAIN = 256


class Compared(NamedTuple):
    """What artifacts answered: by batch size, the logits of all images and how alike they are, and the training frameworks
    that their processes had imported.
    """

    answers: dict[int, Answer]
    logits: Floats
    agreement: Agreement
    training_frameworks: tuple[str, ...]


def measure(context: Context) -> Export:
    """Export, run and time one format; raise `Disagrees` and give no latency where it answers unlike its source.

    The model is the one that the cell's accuracy left, and the artifact is tested on the whole test split; where nothing of the
    cell's accuracy was asked for, it has learned for a few steps and is only compared.
    """
    name = context.job.measurement.partition(":")[2]
    cell, dataset, trial = context.job.cell, context.dataset, context.trial
    if find(name).device == "cuda" and not cell.device.startswith("cuda"):
        raise Unsupported(f"{name} runs on an NVIDIA GPU, and this cell on {cell.device}")
    find_exporter(name, source_kind(cell.framework))
    trained = _learn(context)
    tested = dataset.test
    if not trained:
        tested = subset(tested, spread(tested, context.job.protocol.compared_images))
    source = trial.source()  # Raises for a precision that is not exported, before the whole split is answered.
    expected = trial.logits(tested)
    sizes = tuple(dict.fromkeys((1, context.batch_size)))
    with tempfile.TemporaryDirectory() as folder:
        made = make(name, source, dataset.training, trial, Path(folder, "made"), sizes)
        pixels = write_pixels(trial, tested, Path(folder, "pixels.npy"))
        timed = {size: _timed(context.job.protocol, size) for size in sizes}
        threads = context.threads if made.chosen.several_threads else 1
        compared = compare(made, pixels, expected, threads, dataset.several_labels, timed=timed)
        timings = [_timing(answer, answer.threads or threads, size) for size, answer in compared.answers.items()]
        if timings[0].threads > 1:
            alone = made.ask(*(made.question(pixels, size, 1, timed=timed[size]) for size in sizes))
            timings = [*map(_timing, alone, (1, 1), sizes), *timings]
    (version,) = {answer.version for answer in compared.answers.values()}
    scored = trained and not dataset.several_labels
    return Export(
        export_seconds=made.export_seconds,
        artifact_bytes=made.artifact_bytes,
        timings=tuple(timings),
        precision=made.chosen.precision,
        compared_images=compared.agreement.images,
        maximum_absolute_error=compared.agreement.absolute,
        maximum_relative_error=compared.agreement.relative,
        maximum_centred_error=compared.agreement.centred,
        top1_agreement=compared.agreement.decisions,
        source_top1=top_k(expected, tested.labels, 1) if scored else None,
        test_top1=top_k(compared.logits, tested.labels, 1) if scored else None,
        training_frameworks=compared.training_frameworks,
        runtime=" ".join(filter(None, (made.chosen.runtime, version and f"({version})"))),
        method=made.method,
    )


def write_pixels(trial: Trial, split: Split, file: Path) -> Path:
    """Write a split's images as the exported model takes them, a part at a time, and return the file."""
    parts = np.array_split(np.arange(len(split)), -(-len(split) // 256))
    one = trial.normalise(split.batch(parts[0][:1]))
    needed, free = len(split) * one.nbytes, shutil.disk_usage(file.parent).free
    if needed > free:  # A file that is mapped and finds no room ends the process.
        raise JobError(
            f"{needed / 2**30:.1f} GiB of images for the artifact find no room in {file.parent}, on whose disk "
            f"{free / 2**30:.1f} GiB are free"
        )
    pixels = np.lib.format.open_memmap(file, "w+", np.float32, (len(split), *one.shape[1:]))
    for part in parts:
        pixels[part] = trial.normalise(split.batch(part))
    pixels.flush()
    return file


def compare(
    made: Made,
    pixels: Path,
    expected: Floats,
    threads: int,
    several_labels: bool,
    *,
    timed: Mapping[int, Timed] = MappingProxyType({}),
    limit_seconds: float | None = None,
) -> Compared:
    """Hold every artifact at every batch size against its source's logits; raise `Disagrees` where one answers unlike it.

    The largest batch is asked about all images, which the agreement is of; at the others the gate is asked of `COMPARED_AGAIN`.
    One process answers them all, of single images first. `timed`: by batch size, the requests that it times before each.
    `limit_seconds`: how long that process may take.
    """
    *others, largest = sorted(made.artifacts)
    held = {largest: (pixels, expected)}
    if others:
        shown = np.linspace(0, len(expected) - 1, min(len(expected), COMPARED_AGAIN)).astype(int)
        some = pixels.with_name("some.npy")
        np.save(some, np.load(pixels, mmap_mode="r")[shown])
        held = dict.fromkeys(others, (some, expected[shown])) | held
    files = {size: pixels.with_name(f"logits-{size}.npy") for size in held}
    questions = [
        made.question(images, size, threads, logits=files[size], timed=timed.get(size, UNTIMED))
        for size, (images, _) in held.items()
    ]
    answers = dict(zip(held, made.ask(*questions, limit_seconds=limit_seconds), strict=True))
    for size, (_, source) in held.items():  # The last, which is kept, is the largest's.
        logits = np.load(files[size])
        agreed = agreement(source, logits, several_labels)
        check(made.format, made.chosen.precision, agreed)
    frameworks = {name for answer in answers.values() for name in answer.training_frameworks}
    return Compared(answers, logits, agreed, tuple(sorted(frameworks)))


def _learn(context: Context) -> bool:
    """Give the trial the weights that the cell's accuracy left, or those of a few steps; return whether it is trained."""
    file = context.job.weights_file
    if file is None:
        _learn_a_little(context)
        return False
    if not Path(file).exists():
        raise Unavailable(f"the weights that the accuracy of this cell leaves are not there: {file}")
    context.trial.load(Path(file))
    return True


def _learn_a_little(context: Context) -> None:
    """Take a few steps, or the weights that another export of the cell has left after them: to compile a step takes longer."""
    file = Path(context.job.learned_file) if context.job.learned_file else None
    if file is not None and file.exists():
        context.trial.load(file)
        return
    for batch in context.batches(context.dataset.training, max(context.batch_size, TRAINING_BATCH), TRAINING_STEPS):
        context.trial.train_step(batch)
    if file is not None:
        leave_weights(context.trial, file)


def _timed(protocol: Protocol, size: int) -> Timed:
    return Timed(protocol.latency_requests, protocol.latency_seconds * (1 if size == 1 else BATCH_SHARE))


def _timing(answer: Answer, threads: int, size: int) -> ArtifactTiming:
    return ArtifactTiming(
        threads=threads,
        batch_size=size,
        load_seconds=answer.load_seconds,
        first_inference_seconds=answer.first_inference_seconds,
        latency_seconds=answer.latency_seconds,
        latency_begun_seconds=answer.latency_begun_seconds,
        latency_group_sizes=answer.latency_group_sizes,
        peak_resident_bytes=answer.peak_resident_bytes,
    )
