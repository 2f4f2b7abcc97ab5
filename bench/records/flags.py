"""Flags: what a reader must know before believing a row, derived from the raw evidence in its records."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from statistics import fmean, median, stdev

from bench.measure.nvml import POWER_CAP, THERMAL_OR_BRAKE
from bench.measure.statistics import FEWEST_FOR_INTERVAL, median_interval
from bench.measure.timing import settled
from bench.records.accuracy import Accuracy, MultiLabelAccuracy
from bench.records.rates import COMPANY_CPUS, blocks, busy_elsewhere, during_blocks, rate, while_timed
from bench.records.record import Export, Record

_SPREAD = _CLOCK_SPREAD = 0.02
_DRIFT = 0.01
_REQUESTS_DRIFT = 0.05
_LEAST_CLOCK = 0.75
_BUSY = 0.5
_HOST_BOUND = 1 / 1.05
# Counters, and what they count.
_VIOLATIONS = {"gpu_thermal_violation_seconds": "thermal", "gpu_reliability_violation_seconds": "reliability"}
# Ashman's D of a sample cut where its two parts lie tightest. Of 1,000 normal samples of 20, tests/records/test_flags.py finds
# at most 1 % beyond it.
_TWO_MODES = 6.0
_MODE_SAMPLES = 20
_MODE_SHARE = 0.1


def flags(records: Sequence[Record]) -> dict[str, str]:
    """Return the flags of one row, whose records are the processes of one measurement of one cell, with what was seen."""
    known = [record for record in records if record.figures and _says_how_long(record)]
    if not known:
        return {}
    return {name: said for name, say in _FLAGS.items() if (said := say(known))}


def _says_how_long(record: Record) -> bool:
    return bool(blocks(record)) or isinstance(record.figures, Export) or record.measurement == "accuracy"


def throttled(record: Record) -> str | None:
    """Return how heat or a power brake slowed the GPU while it was timed; None where it did not, or nobody knows.

    The clock is that of the blocks, for between single requests, or while images are decoded, a GPU may rest; and of
    samples without a power cap, which lowers it too.
    """
    said = []
    reasons, *violations = while_timed(record, "gpu_throttle_reasons", *_VIOLATIONS)
    if any(int(value) & THERMAL_OR_BRAKE for value in reasons.values()):
        said.append("slowed by heat or a power brake")
    for kind, seconds in zip(_VIOLATIONS.values(), violations, strict=True):
        grown = max(seconds.values(), default=0.0) - min(seconds.values(), default=0.0)
        if grown > 0:
            said.append(f"{grown:.2g} s of {kind} violations")
    mhz, shares, why = during_blocks(record, "gpu_sm_mhz", "gpu_busy_share", "gpu_throttle_reasons")
    clocks = [value for sample, value in mhz.items() if not int(why.get(sample, 0)) & POWER_CAP]
    gpu = record.environment.gpu(record.cell.device)
    limit = gpu.sm_clock_maximum_mhz if gpu else None
    if clocks and limit and fmean(shares.values() or [1.0]) > _BUSY and fmean(clocks) < _LEAST_CLOCK * limit:
        said.append(f"at {fmean(clocks) / limit:.0%} of the highest clock")
    return ", ".join(said) or None


def _throttled(records: Sequence[Record]) -> str | None:
    said = [seen for record in records if (seen := throttled(record))]
    return f"{len(said)} of {len(records)} processes: {said[0]}" if said else None


def _power_capped(records: Sequence[Record]) -> str | None:
    reasons = [
        int(value)
        for record in records
        for own in while_timed(record, "gpu_throttle_reasons")
        for value in own.values()
    ]
    capped = sum(bool(value & POWER_CAP) for value in reasons)
    return f"{capped / len(reasons):.0%} of the time" if capped else None


def _unstable(records: Sequence[Record]) -> str | None:
    return "; ".join(said for look in _INSTABILITIES for said in look(records)) or None


def _spread(records: Sequence[Record]) -> Iterator[str]:
    rates = [value for record in records if (value := rate(record)) is not None]
    if len(rates) > 1 and stdev(rates) / fmean(rates) > _SPREAD:
        yield f"processes spread by {stdev(rates) / fmean(rates):.1%}"


def _drift(records: Sequence[Record]) -> Iterator[str]:
    """From the first half of a process's blocks to the second, in the middle process."""
    drifts = [
        _moved(timed.block_seconds) for record in records if (timed := blocks(record)) and len(timed.block_seconds) > 1
    ]
    if drifts and abs(median(drifts)) > _DRIFT:
        yield f"blocks drift by {median(drifts):+.1%}, {'slower' if median(drifts) > 0 else 'faster'} towards the end"


def _requests_drift(records: Sequence[Record]) -> Iterator[str]:
    """The same of an artifact's requests, in each of its processes."""
    drifts = [_moved(requests) for record in records for requests in _requests(record) if len(requests) > 1]
    beyond = [drift for drift in drifts if abs(drift) > _REQUESTS_DRIFT]
    if beyond:
        yield f"requests drift by up to {max(beyond, key=abs):+.1%} in {len(beyond)} of {len(drifts)} processes"


def _requests(record: Record) -> list[Sequence[float]]:
    return [timing.latency_seconds for timing in record.figures.timings] if isinstance(record.figures, Export) else []


def _moved(samples: Sequence[float]) -> float:
    """Return by what share the median of the second half is above that of the first."""
    half = len(samples) // 2
    return median(samples[-half:]) / median(samples[:half]) - 1


def _clock(records: Sequence[Record]) -> Iterator[str]:
    clocks = [value for record in records for own in during_blocks(record, "gpu_sm_mhz") for value in own.values()]
    if len(clocks) > 1 and stdev(clocks) / fmean(clocks) > _CLOCK_SPREAD:
        yield f"the clock spreads by {stdev(clocks) / fmean(clocks):.1%}"


def _modes(records: Sequence[Record]) -> Iterator[str]:
    samples: list[Sequence[float]] = []
    for record in records:
        timed = blocks(record)
        samples += [timed.block_seconds] if timed else []
        samples += _requests(record)
    two = sum(map(has_two_modes, samples))
    if two:
        yield f"two modes in {two} of {len(samples)} processes"


def _company(records: Sequence[Record]) -> Iterator[str]:
    """Someone else on the GPU, or a busy processor that is not the job."""
    if any(map(_strangers, records)):
        yield "another process on the device"
    other = [cpus for record in records if (cpus := busy_elsewhere(record)) is not None]
    if other and median(other) > COMPANY_CPUS:
        yield f"{median(other):.1f} processors busy with something else"


def _strangers(record: Record) -> bool:
    """Return whether NVML listed a process before the job, or meanwhile more than there were jobs: several take turns."""
    before = record.telemetry.idle("gpu_processes") if record.telemetry else []
    listed, jobs = while_timed(record, "gpu_processes", "job_processes")
    return max(before, default=0) > 0 or any(count > jobs.get(sample, 1) for sample, count in listed.items())


_INSTABILITIES: tuple[Callable[[Sequence[Record]], Iterator[str]], ...] = (
    _spread,
    _drift,
    _requests_drift,
    _clock,
    _modes,
    _company,
)


def has_two_modes(samples: Sequence[float]) -> bool:
    """Return whether samples fall into two groups far apart, each a tenth of them or more; False for fewer than 20.

    Far apart by Ashman's D, the distance of the two means over the root mean square of the two standard deviations, at
    the cut that leaves the least variance within (Ashman, Bird and Zepf 1994, Detecting bimodality).
    """
    if len(samples) < _MODE_SAMPLES:
        return False
    middle = median(samples)
    ordered = [sample / middle - 1 for sample in sorted(samples)]
    count = len(ordered)
    sums, squares = ([0.0, *accumulate(values)] for values in (ordered, [value * value for value in ordered]))

    def part(begin: int, end: int) -> tuple[float, float]:
        """Return the mean and the variance of the samples from one place to another."""
        mean = (sums[end] - sums[begin]) / (end - begin)
        return mean, max(0.0, (squares[end] - squares[begin]) / (end - begin) - mean * mean)

    def within(cut: int) -> float:
        return cut * part(0, cut)[1] + (count - cut) * part(cut, count)[1]

    least = max(2, math.ceil(_MODE_SHARE * count))
    cut = min(range(least, count - least + 1), key=within)
    (low, below), (high, above) = part(0, cut), part(cut, count)
    return high - low > _DRIFT and high - low > _TWO_MODES * math.sqrt((below + above) / 2)


def _not_converged(records: Sequence[Record]) -> str | None:
    rates = [value for record in records if (value := rate(record)) is not None]
    if len(rates) < FEWEST_FOR_INTERVAL:
        return None  # There is no interval of 95 % to judge by; few_processes says so.
    half, tolerance = median_interval(rates).half_width, records[0].protocol.tolerance
    return f"±{half:.1%} instead of ±{tolerance:.1%}" if half > tolerance else None


def _warmup_not_converged(records: Sequence[Record]) -> str | None:
    warm = [timed for record in records if (timed := blocks(record))]
    restless = sum(not settled(timed.warmup_step_seconds) for timed in warm)
    return f"{restless} of {len(warm)} processes" if restless else None


def _host_bound(records: Sequence[Record]) -> str | None:
    """Queueing a step takes as long as the steps follow each other: the device waits for the host."""
    shares = [
        median(timed.queue_seconds) / timed.step_seconds
        for record in records
        if (timed := blocks(record)) and timed.queue_seconds and record.cell.device.startswith("cuda")
    ]
    bound = bool(shares) and median(shares) > _HOST_BOUND
    return f"queueing a step takes {median(shares):.0%} of it" if bound else None


def _few_processes(records: Sequence[Record]) -> str | None:
    """Accuracy is repeated for its seeds, whose number the protocol sets apart."""
    if records[0].measurement == "accuracy":
        return None
    return f"{len(records)}, not {FEWEST_FOR_INTERVAL}" if len(records) < FEWEST_FOR_INTERVAL else None


def _splits_overlap(records: Sequence[Record]) -> str | None:
    counts = [
        record.figures.overlapping_images or 0
        for record in records
        if isinstance(record.figures, Accuracy | MultiLabelAccuracy)
    ]
    return f"{max(counts)} images of validation and test are in an earlier split too" if any(counts) else None


_FLAGS: dict[str, Callable[[Sequence[Record]], str | None]] = {
    "throttled": _throttled,
    "power_capped": _power_capped,
    "unstable": _unstable,
    "not_converged": _not_converged,
    "warmup_not_converged": _warmup_not_converged,
    "host_bound": _host_bound,
    "few_processes": _few_processes,
    "splits_overlap": _splits_overlap,
}
