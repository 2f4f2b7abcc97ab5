"""What a record says of speed, and what one of its machine's sensors said meanwhile; derived from the raw samples."""

from collections.abc import Iterator
from statistics import fmean, median
from typing import Literal

from bench.measure.energy import Energy, energy
from bench.measure.timing import Blocks
from bench.records.record import Export, Inference, Record, Training


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
    if timed is None or telemetry is None or timed.begun_seconds is None:
        return []
    return telemetry.values(series, timed.begun_seconds, sum(timed.block_seconds))


def sm_mhz(record: Record) -> float | None:
    """Return the mean clock of the GPU's multiprocessors during the blocks."""
    clocks = during_blocks(record, "gpu_sm_mhz")
    return fmean(clocks) if clocks else None


def blocks_energy(record: Record) -> Energy | str:
    """Return the energy of the timed blocks on the cell's device, or why there is none."""
    timed, telemetry = blocks(record), record.telemetry
    if timed is None or telemetry is None or timed.begun_seconds is None:
        return "no telemetry of timed blocks"
    part: Literal["gpu", "cpu"] = "gpu" if record.cell.device.startswith("cuda") else "cpu"
    return energy(telemetry, part, timed.begun_seconds, sum(timed.block_seconds))


def joules_per_image(record: Record, kind: Literal["gross", "net"]) -> float | None:
    """Return the joules of one image in the timed blocks, all or above idle; None where they are not known."""
    timed, found = blocks(record), blocks_energy(record)
    if timed is None or not isinstance(found, Energy):
        return None
    joules = found.gross_joules if kind == "gross" else found.net_joules
    images = (record.batch_size or 0) * timed.steps_per_block * len(timed.block_seconds)
    return None if joules is None else joules / images
