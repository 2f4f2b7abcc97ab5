"""Lints: what in a results file cannot be, or cannot be believed. Each catches a mistake that a published table has made."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from statistics import fmean

import msgspec

from bench.measure.energy import Energy
from bench.measure.statistics import percentile
from bench.measure.timing import Blocks
from bench.plan.cards import dataset_card, dataset_names
from bench.plan.cell import Cell
from bench.records.accuracy import Accuracy
from bench.records.environment import commit_of
from bench.records.flags import flags
from bench.records.rates import blocks, blocks_energy, of_ceiling, reference
from bench.records.record import Export, Inference, Record, Training
from bench.report.format import NOTHING
from bench.report.table import Table

# A model that answers no better than this many times chance has not learned; its throughput is of no use.
_LEARNED = 2.0
_WALL_SLACK = 1.001
# Between two blocks of a job that has no turns to give lies less than a millisecond.
_GAPS = 0.02
_CLOCK_SECONDS = 1e-5
# Boards pass their limit for moments; a ceiling is measured with noise of its own.
_POWER_SLACK = _CEILING_SLACK = 1.1
# What children did comes in one sample, when they end: 2.5 of 2 processors have been read in half a second as a browser ended,
# which three samples together are not.
_CPU_SLACK, _CPU_SAMPLES = 1.15, 3
_WHOLE = 1e-6


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a lint found in one record, or in the records of one cell."""

    lint: str
    cell: str
    measurement: str
    process: int
    said: str


def lint(records: Sequence[Record]) -> tuple[Finding, ...]:
    """Return every finding of every lint, in the order of the file."""
    found = [
        _finding(name, record, said) for record in records for name, check in _LINTS.items() for said in check(record)
    ]
    return (*found, *_turns(records), *_void(records), *_beyond(records), *_control(records))


def table(findings: Sequence[Finding]) -> Table:
    """Return the findings as a table."""
    rows = tuple((f.lint, f.cell, f.measurement, str(f.process), f.said) for f in findings)
    columns = ("Lint", "Cell", "Measurement", "Process", "What")
    return Table(title="Findings", columns=columns, labels=5, rows=rows)


def flags_table(records: Sequence[Record]) -> Table:
    """Return every flag of every row, with what was seen."""
    rows: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        rows[record.run, record.cell.id, record.measurement, record.side or NOTHING].append(record)
    found = tuple((*row[1:], name, said) for row, own in rows.items() for name, said in flags(own).items())
    columns = ("Cell", "Measurement", "Side", "Flag", "Seen")
    return Table(title="Flags", columns=columns, labels=5, rows=found)


def _finding(name: str, record: Record, said: str) -> Finding:
    return Finding(lint=name, cell=record.cell.id, measurement=record.measurement, process=record.process, said=said)


def _tail(record: Record) -> Iterator[str]:
    """A mean above the 95th percentile: a few requests took most of the time, or the samples are of something else."""
    if isinstance(record.figures, Inference | Export):
        latencies = record.figures.latency_seconds
        p95 = percentile(latencies, 0.95)
        if p95 is not None and fmean(latencies) > p95:
            yield f"the mean latency, {fmean(latencies) * 1e3:.2f} ms, is above the 95th percentile, {p95 * 1e3:.2f} ms"


def _time(record: Record) -> Iterator[str]:
    """Images ≠ throughput × time: the blocks and the requests take longer than the whole job that holds them."""
    figures = record.figures
    inside = 0.0
    if isinstance(figures, Training):
        inside = _seconds(figures.resident) + figures.loader.total_seconds + figures.first_step_seconds
    elif isinstance(figures, Inference):
        inside = _seconds(figures.resident) + sum(figures.latency_seconds) + figures.first_batch_seconds
    elif isinstance(figures, Export):
        inside = figures.export_seconds + sum(sum(timing.latency_seconds) for timing in figures.timings)
    elif isinstance(figures, Accuracy):
        inside = figures.epochs[-1].elapsed_seconds
    if inside > record.wall_seconds * _WALL_SLACK:
        yield f"{inside:.1f} s of timed work in a job of {record.wall_seconds:.1f} s"


def _gaps(record: Record) -> Iterator[str]:
    """Images ≠ throughput × time: the seconds of the blocks are not those from the beginning of one to that of the next."""
    timed = blocks(record)
    if timed is None or len(timed.begun_seconds) < 2 or record.side is not None:
        return  # Between blocks others have turns.
    inside = sum(timed.block_seconds)
    whole = timed.begun_seconds[-1] + timed.block_seconds[-1] - timed.begun_seconds[0]
    if whole > inside / (1 - _GAPS):
        yield f"blocks of {inside:.3g} s altogether stand in {whole:.3g} s: images a second × seconds are not the images"


def _turns(records: Sequence[Record]) -> Iterator[Finding]:
    """Blocks of one process, or of those that took turns with it, that overlap: one of their two clocks is wrong."""
    together: dict[tuple[str, str, str, int], list[tuple[float, float, Record]]] = defaultdict(list)
    for record in records:
        timed = blocks(record)
        if timed is not None:
            own = together[record.run, record.cell.id, record.measurement, record.process]
            own += [(b, b + s, record) for b, s in zip(timed.begun_seconds, timed.block_seconds, strict=False)]
    for own in together.values():
        for (_, end, _), (begun, _, record) in pairwise(sorted(own, key=lambda block: block[0])):
            if begun < end - _CLOCK_SECONDS:
                yield _finding("turns", record, f"a block began {end - begun:.3g} s before the one before it had ended")
                break


def _seconds(blocks: Blocks) -> float:
    return sum(blocks.warmup_step_seconds) + sum(blocks.block_seconds)


def _share(record: Record) -> Iterator[str]:
    """A share outside its whole."""
    figures = record.figures
    if isinstance(figures, Training) and figures.loader.wait_seconds > figures.loader.total_seconds:
        yield "more time waited for data than went by"
    if isinstance(figures, Accuracy) and not 0 <= figures.test_top1 <= (figures.test_top5 or 1) <= 1:
        yield f"top-1 of {figures.test_top1} with a top-5 of {figures.test_top5}"
    for what, share, images in _shares(record):
        if abs(share * images - round(share * images)) > _WHOLE * images:
            yield f"{what} of {share} is no number of {images} images"


def _shares(record: Record) -> Iterator[tuple[str, float, int]]:
    """Yield the shares of a record of which it has the whole as well: name, share, images."""
    figures = record.figures
    if isinstance(figures, Accuracy):
        yield "a top-1", figures.test_top1, figures.test_images
        if figures.test_top5 is not None:
            yield "a top-5", figures.test_top5, figures.test_images
        for epoch in figures.epochs:
            yield "a top-1 on validation", epoch.validation_score, figures.validation_images
    elif isinstance(figures, Export) and not (record.recipe and record.recipe.several_labels):
        yield "an equal top-1", figures.top1_agreement, figures.compared_images


def _devices(record: Record) -> Iterator[str]:
    """More than the machine has: a device beyond the last, or more threads or busy processors than there are."""
    there = record.environment
    if record.cell.device.startswith("cuda") and there.gpu(record.cell.device) is None:
        yield f"on {record.cell.device}, the environment has {len(there.gpus)} GPUs"
    threads = record.in_force.get("threads")
    if isinstance(threads, int) and threads > there.cpu_cores_logical:
        yield f"{threads} threads on {there.cpu_cores_logical} processors"
    samples = record.telemetry.values("cpu_job_cpus") if record.telemetry else []
    several = [samples[end - _CPU_SAMPLES : end] for end in range(_CPU_SAMPLES, len(samples) + 1)] or [samples or [0.0]]
    busy = max(map(fmean, several))
    if busy > _CPU_SLACK * there.cpu_cores_logical:
        yield f"it kept {busy:.1f} processors busy of {there.cpu_cores_logical}"


def _environment(record: Record) -> Iterator[str]:
    """What a reader needs to judge a figure is not in the record."""
    there = record.environment
    missing = [name for name in ("cpu", "python", "system") if not getattr(there, name)]
    missing += [] if there.packages else ["packages"]
    missing += [] if there.commit or there.code else ["commit and code"]
    if record.cell.device.startswith("cuda"):
        missing += [name for name in ("gpus", "driver", "cuda") if not getattr(there, name)]
    if missing:
        yield f"the environment lacks {', '.join(missing)}"
    if there.dirty and not (there.code and commit_of(there.code)):
        yield "measured from a tree with changes that no commit holds"


def _power(record: Record) -> Iterator[str]:
    """More joules than the power limit allows in the time: the counter is of something else, or in another unit."""
    timed, found = blocks(record), blocks_energy(record)
    gpu = record.environment.gpu(record.cell.device)
    limit = gpu.power_limit_watts if gpu else None
    if timed and isinstance(found, Energy) and limit:
        watts = found.gross_joules / sum(timed.block_seconds)
        if watts > _POWER_SLACK * limit:
            yield f"{watts:.0f} W on average, the limit is {limit:.0f} W"


def _beyond(records: Sequence[Record]) -> Iterator[Finding]:
    """More operations a second than the device's fastest product: it did not do what it says."""
    runs: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        runs[record.run].append(record)
    for own in runs.values():
        held = reference(own)
        for record in own:
            share = of_ceiling(record, held)
            if share is not None and share > _CEILING_SLACK:
                yield _finding("beyond", record, f"{share:.0%} of what the device's fastest matrix product does")


def _control(records: Sequence[Record]) -> Iterator[Finding]:
    """A run that compares, in turns or with a file, in which what was measured twice differs from itself."""
    if not any(record.side == "a-again" for record in records):
        return
    # Only here, for it needs scipy, and most results hold no comparison.
    from bench.report.compare import control, controls, stand

    for first, again in controls(records).values():
        if not stand(control(first, again)):
            yield _finding("control", again[0], "measured twice it differs from itself: no verdict of this run stands")


def _void(records: Sequence[Record]) -> Iterator[Finding]:
    """An accuracy near chance, or none for it diverged, voids the throughput of the same model: what was timed does not work."""
    learned: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        if record.measurement == "accuracy":
            learned[_trained(record.cell)].append(record)
    for record in records:
        if isinstance(record.figures, Training | Inference):
            for accuracy in learned[_trained(record.cell)]:
                for said in _not_learned(accuracy):
                    yield _finding("void", record, said)


def _not_learned(accuracy: Record) -> Iterator[str]:
    """Say how a model has learned nothing; of several labels, and of images whose classes no card counts, nobody can."""
    figures, dataset = accuracy.figures, accuracy.cell.dataset
    if accuracy.status == "diverged":
        yield f"trained for its accuracy the model diverges: {accuracy.reason}"
    elif isinstance(figures, Accuracy) and dataset in dataset_names():
        chance = 1 / dataset_card(dataset).classes
        if figures.test_top1 < _LEARNED * chance:
            yield f"the model learns to {figures.test_top1:.1%} only, chance is {chance:.1%}"


def _trained(cell: Cell) -> tuple[str, ...]:
    return cell.architecture, cell.framework, cell.precision, cell.execution, cell.dataset, cell.recipe


_LINTS: dict[str, Callable[[Record], Iterator[str]]] = {
    "tail": _tail,
    "time": _time,
    "gaps": _gaps,
    "share": _share,
    "devices": _devices,
    "environment": _environment,
    "power": _power,
}
