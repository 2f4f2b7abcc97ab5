"""What a record says of speed, and what one of its machine's sensors said meanwhile; derived from the raw samples."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from statistics import fmean, median
from typing import Literal, NamedTuple

from bench.measure.energy import Energy, energy
from bench.measure.timing import Blocks
from bench.records.record import Build, Ceilings, Export, Inference, Record, Training

# The product whose precision is that of a cell's.
_PRODUCTS = {"fp32": "fp32", "tf32": "tf32", "amp-fp16": "fp16", "amp-bf16": "bf16", "bf16": "bf16"}
# How much of a stretch its blocks must fill for its energy to be theirs.
_WITHOUT_GAPS = 0.98
# Forward passes that a step costs; the backward one counts two.
_PASSES: dict[type, int] = {Training: 3, Inference: 1}


class Reference(NamedTuple):
    """What the rows of one run are held against.

    `flops`: of one image's forward pass, by architecture, framework and image size. `ceilings`: operations a second, by
    device and the name of the product's precision.
    """

    flops: dict[tuple[str, str, int], int]
    ceilings: dict[tuple[str, str], float]


def reference(records: Sequence[Record]) -> Reference:
    """Return what the records of one run say of its models and its device."""
    flops: dict[tuple[str, str, int], int] = {}
    ceilings: dict[tuple[str, str], float] = {}
    for record in records:
        cell, figures = record.cell, record.figures
        if isinstance(figures, Build) and figures.flops_per_image:
            flops[cell.architecture, cell.framework, cell.image_size] = figures.flops_per_image
        elif isinstance(figures, Ceilings):
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
        yield "training from the loader", figures.loader.steps * size / figures.loader.total_seconds
    elif isinstance(figures, Inference):
        yield "inference", figures.resident.images_per_second(size)
        yield "latency p50", 1 / median(figures.latency_seconds)
    elif isinstance(figures, Export):
        yield f"{record.measurement} latency p50", 1 / median(figures.latency_seconds)


def log_ratio(quantity: str, a: Record, b: Record) -> float:
    """Return the log of B's speed over A's, of two processes that took turns.

    Of blocks that lie side by side in time it is the median of their log ratios: what the machine did to one it did to the
    other, and a moment's interruption of either does not count.
    """
    blocks_a, blocks_b = blocks(a), blocks(b)
    if quantity in ("training", "inference") and blocks_a and blocks_b:
        images_a, images_b = (
            blocks_a.steps_per_block * (a.batch_size or 0),
            blocks_b.steps_per_block * (b.batch_size or 0),
        )
        took = zip(blocks_a.block_seconds, blocks_b.block_seconds, strict=False)
        return median(math.log(images_b / seconds_b * seconds_a / images_a) for seconds_a, seconds_b in took)
    speed = [dict(speeds(record))[quantity] for record in (a, b)]
    return math.log(speed[1] / speed[0])


def blocks(record: Record) -> Blocks | None:
    """Return the timed blocks of a training or an inference."""
    return record.figures.resident if isinstance(record.figures, Training | Inference) else None


def rate(record: Record) -> float | None:
    """Return the images a second of a record's blocks, from batches that lie on the device."""
    timed = blocks(record)
    return timed.images_per_second(record.batch_size or 0) if timed else None


def during_blocks(record: Record, series: str) -> list[float]:
    """Return what one series of the telemetry read while the blocks were timed."""
    timed, telemetry = blocks(record), record.telemetry
    if timed is None or telemetry is None or series not in telemetry.series:
        return []
    elapsed, values = telemetry.elapsed_seconds, telemetry.series[series]
    found: list[float] = []
    for begun, took in zip(timed.begun_seconds, timed.block_seconds, strict=False):
        begins = begun - telemetry.begun_seconds
        inside = values[bisect_left(elapsed, begins) : bisect_right(elapsed, begins + took)]
        found += [value for value in inside if value is not None]
    return found


def sm_mhz(record: Record) -> float | None:
    """Return the mean clock of the GPU's multiprocessors during the blocks."""
    clocks = during_blocks(record, "gpu_sm_mhz")
    return fmean(clocks) if clocks else None


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
