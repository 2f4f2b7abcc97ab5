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


def _export_latency(share: float, threads: int | None = None) -> Callable[[Row], str]:
    """Return a column of a percentile of single images' requests, with so many threads or the most."""
    return lambda row: milliseconds([timing.latency_seconds for timing in _timings(row, threads)], share)


def _export_rate(threads: int | None = None) -> Callable[[Row], str]:
    """Return a column of the images a second in requests of several images: all images over all time."""
    return lambda row: rate(
        [
            timing.batch_size * len(timing.latency_seconds) / math.fsum(timing.latency_seconds)
            for timing in _timings(row, threads, several=True)
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
    "Export, s": lambda row: number(median([export.export_seconds for export in row.figures(Export)])),
    "MiB": lambda row: number(row.first(Export).artifact_bytes / 2**20),
    "Load, ms": lambda row: milliseconds([[timing.load_seconds] for timing in _timings(row)], 0.5),
    "First, ms": lambda row: milliseconds([[timing.first_inference_seconds] for timing in _timings(row)], 0.5),
    "p50, ms": _export_latency(0.5),
    "p90, ms": _export_latency(0.9),
    "p99, ms": _export_latency(0.99),
    "p50, 1 thread": _export_latency(0.5, threads=1),
    "img/s, batch": _export_rate(),
    "img/s, 1 thread": _export_rate(threads=1),
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
