"""What a record says of speed, and what one of its machine's sensors said meanwhile; derived from the raw samples."""

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from statistics import fmean, median
from typing import Literal, NamedTuple

from bench.measure.energy import Energy, energy
from bench.measure.telemetry import Telemetry
from bench.measure.timing import Blocks
from bench.records.record import ArtifactTiming, Build, Ceilings, Export, Inference, Record, Training

# The product whose precision is that of a cell's.
_PRODUCTS = {"fp32": "fp32", "tf32": "tf32", "amp-fp16": "fp16", "amp-bf16": "bf16", "bf16": "bf16"}
LOADER = "training from the loader"
# More processors busy with something else than that disturb a measurement.
COMPANY_CPUS = 0.1
# How much of a stretch its blocks must fill for its energy to be theirs.
_WITHOUT_GAPS = 0.98
# Forward passes that a step costs; the backward one counts two.
_PASSES: dict[type, int] = {Training: 3, Inference: 1}


Window = tuple[float, float]


class Reference(NamedTuple):
    """What the rows of one run are held against.

    `flops`: of one image's forward pass, by architecture, framework and image size. `ceilings`: operations a second, by
    device and the name of the product's precision.
    """

    flops: dict[tuple[str, str, int], int]
    ceilings: dict[tuple[str, str], float]


def reference(records: Sequence[Record]) -> Reference:
    """Return what the records of one run say of its models and its device; nothing of a ceiling that something else lowered."""
    flops: dict[tuple[str, str, int], int] = {}
    ceilings: dict[tuple[str, str], float] = {}
    for record in records:
        cell, figures = record.cell, record.figures
        if isinstance(figures, Build) and figures.flops_per_image:
            flops[cell.architecture, cell.framework, cell.image_size] = figures.flops_per_image
        elif isinstance(figures, Ceilings) and (busy_elsewhere(record) or 0.0) <= COMPANY_CPUS:
            ceilings |= {(cell.device, found.name): found.per_second for found in figures.found if found.operations}
    return Reference(flops, ceilings)


def of_ceiling(record: Record, held: Reference) -> float | None:
    """Return the share of the device's fastest product that the timed blocks reach (model FLOPs utilisation)."""
    cell = record.cell
    flops = held.flops.get((cell.architecture, cell.framework, cell.image_size))
    ceiling = held.ceilings.get((cell.device, _PRODUCTS[cell.precision]))
    images = rate(record)
    if not (flops and ceiling and images):
        return None
    return images * flops * _PASSES[type(record.figures)] / ceiling


def speeds(record: Record) -> Iterator[tuple[str, float]]:
    """Yield every speed that a record holds, by name, more is faster; a latency's is its inverse."""
    figures, size = record.figures, record.batch_size or 0
    if isinstance(figures, Training):
        yield "training", figures.resident.images_per_second(size)
        yield LOADER, figures.loader.steps * size / figures.loader.total_seconds
    if isinstance(figures, Inference):
        yield "inference", figures.resident.images_per_second(size)
    if isinstance(figures, Inference | Export) and figures.latency_seconds:
        of = f"{record.measurement} " if isinstance(figures, Export) else ""
        yield f"{of}latency p50", 1 / median(figures.latency_seconds)


def log_ratio(quantity: str, a: Record, b: Record) -> float:
    """Return the log of B's speed over A's, of two processes that took turns.

    Of blocks that lie side by side in time it is the median of their log ratios: what the machine did to one it did to the
    other, and a moment's interruption of either does not count.
    """
    side_by_side = zip(_block_rates(quantity, a), _block_rates(quantity, b), strict=False)
    if ratios := [math.log(second / first) for first, second in side_by_side]:
        return median(ratios)
    speed = [dict(speeds(record))[quantity] for record in (a, b)]
    return math.log(speed[1] / speed[0])


def _block_rates(quantity: str, record: Record) -> list[float]:
    """Return the images a second of each block that a quantity was timed in; none for one timed in single requests."""
    size, timed = record.batch_size or 0, blocks(record)
    if quantity in ("training", "inference") and timed:
        return [size * timed.steps_per_block / seconds for seconds in timed.block_seconds]
    if quantity == LOADER and isinstance(record.figures, Training):
        return [size * block.steps / math.fsum(block.step_seconds) for block in record.figures.loader.blocks]
    return []


def blocks(record: Record) -> Blocks | None:
    """Return the timed blocks of a training or an inference."""
    return record.figures.resident if isinstance(record.figures, Training | Inference) else None


def rate(record: Record) -> float | None:
    """Return the images a second of a record's blocks, from batches that lie on the device."""
    timed = blocks(record)
    return timed.images_per_second(record.batch_size or 0) if timed else None


def during_blocks(record: Record, *series: str) -> list[dict[int, float]]:
    """Return of each series what it read while the blocks were timed, by the sample's place, which series have in common."""
    return _read_within(record, _block_windows(record), *series)


def while_timed(record: Record, *series: str) -> list[dict[int, float]]:
    """Return the same while anything was timed: blocks, single requests, or a whole training."""
    return _read_within(record, timed_windows(record), *series)


def busy_elsewhere(record: Record) -> float | None:
    """Return how many processors were busy with something else while a record was timed; None where nobody knows."""
    busy, own = while_timed(record, "cpu_busy_cpus", "cpu_job_cpus")
    both = busy.keys() & own.keys()
    return fmean(busy[sample] - own[sample] for sample in both) if both else None


def _read_within(record: Record, windows: list[Window], *series: str) -> list[dict[int, float]]:
    telemetry = record.telemetry
    if telemetry is None or telemetry.series.keys().isdisjoint(series):
        return [{} for _ in series]
    places = _samples_within(telemetry, windows)
    read = [telemetry.series.get(name) for name in series]
    return [
        {} if values is None else {place: value for place in places if (value := values[place]) is not None}
        for values in read
    ]


def timed_windows(record: Record) -> list[Window]:
    """Return when everything that a record times began and ended, on the machine's monotonic clock, in order.

    Accuracy is timed by its epochs, and so from when its job was asked for to the end, as ceilings are.
    """
    figures, telemetry = record.figures, record.telemetry
    found = _block_windows(record)
    if isinstance(figures, Training):
        found += _loader_windows(figures)
    elif isinstance(figures, Inference):
        found += _request_windows(figures)
    elif isinstance(figures, Export):
        found += [window for timing in figures.timings for window in _request_windows(timing)]
    elif telemetry is not None and (isinstance(figures, Ceilings) or (figures and record.measurement == "accuracy")):
        found += [(telemetry.begun_seconds + telemetry.idle_seconds, math.inf)]
    return found


def _block_windows(record: Record) -> list[Window]:
    timed = blocks(record)
    took = zip(timed.begun_seconds, timed.block_seconds, strict=False) if timed else ()
    return [(begun, begun + seconds) for begun, seconds in took]


def _loader_windows(figures: Training) -> list[Window]:
    loader = figures.loader.blocks
    return [(b.begun_seconds, b.begun_seconds + sum(b.step_seconds)) for b in loader if b.begun_seconds]


def _request_windows(timed: Inference | ArtifactTiming) -> list[Window]:
    samples, ends = timed.latency_seconds, list(accumulate(timed.latency_group_sizes))
    groups = zip(timed.latency_begun_seconds, [0, *ends], ends, strict=False)
    return [(begun, begun + sum(samples[first:end])) for begun, first, end in groups]


def _samples_within(telemetry: Telemetry, windows: list[Window]) -> list[int]:
    """Return the places of the samples taken within windows that follow each other in time."""
    found = (telemetry.within(begun, end) for begun, end in windows)
    return [place for inside in found for place in range(inside.start, inside.stop)]


def sm_mhz(quantity: str, record: Record) -> float | None:
    """Return the mean clock of the GPU's multiprocessors while one quantity was timed, each in a time of its own."""
    figures = record.figures
    if quantity == LOADER and isinstance(figures, Training):
        windows = _loader_windows(figures)
    elif "latency" in quantity and isinstance(figures, Inference | Export):
        windows = _request_windows(figures.main if isinstance(figures, Export) else figures)
    else:
        windows = _block_windows(record)
    (clocks,) = _read_within(record, windows, "gpu_sm_mhz")
    return fmean(clocks.values()) if clocks else None


def blocks_energy(record: Record) -> Energy | str:
    """Return the energy of the timed blocks on the cell's device, or why there is none."""
    timed, telemetry = blocks(record), record.telemetry
    if timed is None or telemetry is None or not timed.begun_seconds:
        return "no telemetry of timed blocks"
    seconds = timed.begun_seconds[-1] + timed.block_seconds[-1] - timed.begun_seconds[0]
    if sum(timed.block_seconds) < _WITHOUT_GAPS * seconds:
        return "others had turns between the blocks"
    part: Literal["gpu", "cpu"] = "gpu" if record.cell.device.startswith("cuda") else "cpu"
    return energy(telemetry, part, timed.begun_seconds[0], seconds)


def joules_per_image(record: Record, kind: Literal["gross", "net"]) -> float | None:
    """Return the joules of one image in the timed blocks, all or above idle; None where they are not known."""
    timed, found = blocks(record), blocks_energy(record)
    if timed is None or not isinstance(found, Energy):
        return None
    joules = found.gross_joules if kind == "gross" else found.net_joules
    images = (record.batch_size or 0) * timed.steps_per_block * len(timed.block_seconds)
    return None if joules is None else joules / images


def energy_method(record: Record) -> str | None:
    """Return how the joules of the timed blocks were read, off a counter or from sampled power; None without any."""
    found = blocks_energy(record)
    return found.method if isinstance(found, Energy) else None
