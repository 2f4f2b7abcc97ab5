"""Telemetry: what the machine did while a job ran, sampled by a thread of the runner, which itself only waits.

Nothing of it runs in the measured process. Readers return named values; the names carry the units.
"""

import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

import msgspec

Reading = dict[str, float | None]
INTERVAL_SECONDS = 0.5
# When there are more of the job, every second one is dropped and the interval doubled.
MOST_SAMPLES = 600


class Telemetry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Series of samples, one value each by name; None where one could not be read that time.

    `begun_seconds` is on the machine's monotonic clock, `elapsed_seconds` counts from it, and the job was asked for
    `idle_seconds` after it. `missing` says why what is not among the series cannot be read here, and under "samples" why
    they end early. `cost_seconds` is the processor time of the thread that samples; what the system or a GPU's driver does
    for it elsewhere is not in it.
    """

    begun_seconds: float
    idle_seconds: float
    elapsed_seconds: tuple[float, ...]
    series: dict[str, tuple[float | None, ...]]
    missing: dict[str, str]
    cost_seconds: float

    def known(self, name: str, begun: float | None = None, seconds: float = 0.0) -> list[tuple[float, float]]:
        """Return (time, value) of what is known of one series, on the monotonic clock; with a window, of what lies in it."""
        inside = slice(None) if begun is None else self.within(begun, begun + seconds)
        samples = zip(self.elapsed_seconds[inside], self.series.get(name, ())[inside], strict=False)
        return [(self.begun_seconds + elapsed, value) for elapsed, value in samples if value is not None]

    def within(self, begun: float, end: float) -> slice:
        """Return the places of the samples from one moment to another, on the monotonic clock."""
        return slice(
            bisect_left(self.elapsed_seconds, begun - self.begun_seconds),
            bisect_right(self.elapsed_seconds, end - self.begun_seconds),
        )

    def values(self, name: str, begun: float | None = None, seconds: float = 0.0) -> list[float]:
        """Return what `known` does, without the times."""
        return [value for _, value in self.known(name, begun, seconds)]

    def idle(self, name: str) -> list[float]:
        """Return the values of one series before the job was asked for."""
        return self.values(name, self.begun_seconds, self.idle_seconds)


def at(samples: Sequence[tuple[float, float]], moment: float) -> float | None:
    """Return the value of (time, value) samples at one moment, on the line between two; None outside of them."""
    after = bisect_right(samples, moment, key=lambda sample: sample[0])
    if after == 0 or (after == len(samples) and samples[-1][0] < moment):
        return None
    (t0, v0), (t1, v1) = samples[after - 1], samples[min(after, len(samples) - 1)]
    return v0 if t1 == t0 else v0 + (v1 - v0) * (moment - t0) / (t1 - t0)


class Reader(Protocol):
    """Something that can be read again and again. `names`: what it reads; `missing`: what it cannot read, and why."""

    names: tuple[str, ...]
    missing: dict[str, str]

    def read(self) -> Reading:
        """Return the values of now."""


class Sampler:
    """Reads from a thread of its own until it is stopped. As a context manager it leaves no thread behind."""

    def __init__(self, readers: Sequence[Reader], interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._readers = readers
        self._interval = interval_seconds
        self._times: list[float] = []
        self._readings: list[Reading] = []
        self._cost = self._idle = 0.0
        self._failure: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._begun = time.perf_counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def job_begins(self) -> None:
        """Mark that what was sampled until now was the machine before the job."""
        self._idle = time.perf_counter() - self._begun

    def telemetry(self) -> Telemetry:
        """Return what was sampled; only after the context has ended."""
        names = dict.fromkeys(name for reading in self._readings for name in reading)
        return Telemetry(
            begun_seconds=self._begun,
            idle_seconds=round(self._idle, 3),
            elapsed_seconds=tuple(round(moment - self._begun, 3) for moment in self._times),
            series={name: tuple(_short(reading.get(name)) for reading in self._readings) for name in names},
            missing={name: why for reader in self._readers for name, why in reader.missing.items()} | self._failure,
            cost_seconds=round(self._cost, 6),
        )

    def _run(self) -> None:
        try:
            self._sample_until_stopped()
        except (
            Exception
        ) as error:  # In a thread nobody would see it, and a series that ends early looks like a calm machine.
            self._failure["samples"] = f"the sampling ended early: {error!r}"

    def _sample_until_stopped(self) -> None:
        while True:
            begun = time.thread_time()
            reading = {name: value for reader in self._readers for name, value in reader.read().items()}
            self._times.append(time.perf_counter())
            self._readings.append(reading)
            before = bisect_right(self._times, self._begun + self._idle)
            if len(self._readings) - before > MOST_SAMPLES:  # Those before the job stay, for net energy stands on them.
                del self._times[before + 1 :: 2], self._readings[before + 1 :: 2]
                self._interval *= 2
            self._cost += time.thread_time() - begun
            if self._stop.wait(self._interval):
                return


def _short(value: float | None) -> float | None:
    """Return a value with nine digits, which the counters of energy need, and no more."""
    return None if value is None else float(f"{value:.9g}")
