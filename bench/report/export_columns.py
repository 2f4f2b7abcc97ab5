"""The columns of the tables of exports, and which format is best."""

import math
from collections.abc import Callable, Sequence
from statistics import median

from bench.records.record import ArtifactTiming, Export
from bench.report.columns import AXES, MODEL, Columns, flagged
from bench.report.format import NOTHING, counted, mebibytes, milliseconds, number, percent, rate, top1
from bench.report.row import Row


def _timings(row: Row, threads: int | None = None, *, several: bool = False) -> list[ArtifactTiming]:
    """Return each process's timing of single images or of a batch, with so many threads (None: the most)."""
    found = (export.timing(threads=threads, several=several) for export in row.figures(Export))
    return [timing for timing in found if timing is not None]


def is_timed(row: Row) -> bool:
    """Return whether any requests were timed: where none were, nobody asked for a quiet machine, and no seconds are shown."""
    return any(timing.latency_seconds for timing in _timings(row))


def _alone(row: Row, *, several: bool = False) -> list[ArtifactTiming]:
    """Return the timings with one thread, of what ran with more as well."""
    timings = _timings(row, several=several)
    return _timings(row, 1, several=several) if any(timing.threads > 1 for timing in timings) else []


def _latency(timings: Callable[[Row], list[ArtifactTiming]], share: float) -> Callable[[Row], str]:
    """Return a column of a percentile of single images' requests."""
    return lambda row: milliseconds([timing.latency_seconds for timing in timings(row)], share)


def _seconds(field: str) -> Callable[[Row], str]:
    """Return a column of what a process took once, with the most threads."""
    return lambda row: (
        milliseconds([[getattr(timing, field)] for timing in _timings(row)], 0.5) if is_timed(row) else NOTHING
    )


def _export_seconds(row: Row) -> str:
    return number(median([export.export_seconds for export in row.figures(Export)])) if is_timed(row) else NOTHING


def _threads(row: Row) -> str:
    return str(row.first(Export).main.threads) if is_timed(row) else NOTHING


def _rate(timings: Sequence[ArtifactTiming]) -> str:
    """Return the images a second in requests of several images: all images over all time."""
    return rate(
        [
            timing.batch_size * len(timing.latency_seconds) / math.fsum(timing.latency_seconds)
            for timing in timings
            if timing.latency_seconds
        ]
    )


def _export_top1(row: Row) -> str:
    found = row.first(Export)
    return NOTHING if found.test_top1 is None else top1([found.test_top1], found.compared_images)


def _export_lost(row: Row) -> str:
    """The top-1 of the source less that of the artifact, on the same images."""
    found = row.first(Export)
    if found.test_top1 is None or found.source_top1 is None:
        return NOTHING
    return f"{(found.source_top1 - found.test_top1) * 100:+.1f}"


EXPORTED: Columns = MODEL | {name: AXES[name] for name in ("Batch", "Image px")}
EXPORTS: Columns = EXPORTED | {
    "Format": lambda row: row.records[0].measurement.partition(":")[2],
    "Made by; run by": lambda row: f"{row.first(Export).method}; {row.first(Export).runtime}",
    "Precision": lambda row: row.first(Export).precision,
    "Export, s": _export_seconds,
    "MiB": lambda row: number(row.first(Export).artifact_bytes / 2**20),
    "Threads": _threads,
    "Load, ms": _seconds("load_seconds"),
    "First, ms": _seconds("first_inference_seconds"),
    "p50, ms": _latency(_timings, 0.5),
    "p90, ms": _latency(_timings, 0.9),
    "p99, ms": _latency(_timings, 0.99),
    "p50, 1 thread": _latency(_alone, 0.5),
    "img/s, batch": lambda row: _rate(_timings(row, several=True)),
    "img/s, 1 thread": lambda row: _rate(_alone(row, several=True)),
    "Peak, MiB": lambda row: mebibytes(
        max((timing.peak_resident_bytes for timing in _timings(row) if timing.peak_resident_bytes), default=None)
    ),
    "Largest error": lambda row: f"{max(export.maximum_relative_error for export in row.figures(Export)):.0e}",
    "Equal top-1": lambda row: percent(min(export.top1_agreement for export in row.figures(Export))),
    "Top-1 on test, %": _export_top1,
    "Lost, points": _export_lost,
    "Flags": flagged(Export),
}
BEST_FORMATS = ("Lowest p50, ms", "Fewest bytes, MiB", "Least top-1 lost, points")
# Of a p50, of a process each. In two runs of exports nine hours apart, on 2 cores of a shared machine, the ratio of two formats
# of one model changed by more than 20 % in half of 112 pairs, and by less than 75 % in 95 of 100.
_AS_QUICK = 0.75
# Images that one format has right and another wrong; fewer than six on one side tell nothing (sign test, two-sided, 5 %).
_TELLING_IMAGES = 6


def export_p50(name: str) -> Callable[[Row], str]:
    """Return a column of a model's lowest p50 in one format, or of the status where it has none."""

    def column(row: Row) -> str:
        records = [record for record in row.records if record.measurement == f"export:{name}"]
        exports = [record.figures for record in records if isinstance(record.figures, Export)]
        if exports:
            quickest = _quickest(exports)
            return number(quickest[0], 3) if quickest else "passes"
        return records[0].status if records else NOTHING

    return column


def best_formats(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the best formats of one model, with their figures, in the order of `BEST_FORMATS`."""
    processes = {row.records[0].measurement.partition(":")[2]: row.figures(Export) for row in rows}
    quickest = {name: p50 for name, exports in processes.items() if (p50 := _quickest(exports))}
    found = {name: exports[0] for name, exports in processes.items()}
    sizes = {name: export.artifact_bytes / 2**20 for name, export in found.items()}
    lost = {
        name: max(0.0, export.source_top1 - export.test_top1) * 100
        for name, export in found.items()
        if export.source_top1 is not None and export.test_top1 is not None
    }
    images = rows[0].first(Export).compared_images
    return (
        _named(
            {name: p50 for name, (p50, _) in quickest.items()},
            lambda name: f"{number(quickest[name][0], 3)} with {counted(quickest[name][1], 'thread')}",
            lambda least: least * (1 + _AS_QUICK),
        ),
        _named(sizes, lambda name: number(sizes[name]), lambda least: least * 1.01),
        _named(lost, lambda name: number(lost[name]), lambda least: least + 100 * (_TELLING_IMAGES - 0.5) / images),
    )


def _quickest(exports: Sequence[Export]) -> tuple[float, int] | None:
    """Return the lowest p50 of single images, in milliseconds, in the middle process, and with how many threads."""
    timings = [t for export in exports for t in export.timings if t.batch_size == 1 and t.latency_seconds]
    return min(
        (
            (median(median(t.latency_seconds) for t in timings if t.threads == threads) * 1e3, threads)
            for threads in {timing.threads for timing in timings}
        ),
        default=None,
    )


def _named(figures: dict[str, float], show: Callable[[str], str], as_good: Callable[[float], float]) -> str:
    """Return the names of the least figure and of all up to what is as good as it, each with what is shown of it."""
    said: dict[str, list[str]] = {}
    for name in sorted(figures, key=lambda name: figures[name]):
        if figures[name] <= as_good(min(figures.values())):
            said.setdefault(show(name), []).append(name)
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in said.items()) or NOTHING
