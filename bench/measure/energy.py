"""Energy: the joules of a stretch of time, read off the telemetry of who ran in it.

Sensors differ. Against an external meter most cards read 4 to 8 % low, and on A100 and H100 the power reading covers only a part
of each 100 ms (Yang, Adamek and Armour 2024, Part-time power measurements: nvidia-smi's lack of attention): ±10 %.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import msgspec

from bench.measure.telemetry import Telemetry, at

# The counters move every 100 ms or so; over less than this the two ends weigh too much.
SHORTEST_SECONDS = 10.0
_SHORTEST_IDLE_SECONDS = 0.5
# Several of those updates: a counter that is the same then has stopped, if only for a while.
_SURELY_GROWN_SECONDS = 0.5
# In watts. No device that is on takes less; a counter that moves no faster stands still.
_LEAST_WATTS = 0.01


class Energy(msgspec.Struct, frozen=True, kw_only=True):
    """Joules of a stretch: all, and above what the machine took just before; the second None where that is not known."""

    gross_joules: float
    net_joules: float | None
    method: Literal["counter", "sampled power"]


def energy(telemetry: Telemetry, part: Literal["gpu", "cpu"], begun: float, seconds: float) -> Energy | str:
    """Return the energy of one part of the machine from `begun` on, on the monotonic clock; or why there is none."""
    counter, power = f"{part}_energy_joules", f"{part}_watts"
    if seconds < SHORTEST_SECONDS:
        return f"{seconds:.1f} s is too short, it takes {SHORTEST_SECONDS:g} s"
    joules = _counted(telemetry, counter, begun, seconds)
    if joules is not None:
        idle = _idle_watts_counted(telemetry, counter)
        return Energy(gross_joules=joules, net_joules=_above(joules, idle, seconds), method="counter")
    watts = telemetry.known(power)
    inside = [sample for sample in watts if begun < sample[0] < begun + seconds]
    ends = at(watts, begun), at(watts, begun + seconds)
    if ends[0] is not None and ends[1] is not None:
        samples = [(begun, ends[0]), *inside, (begun + seconds, ends[1])]
        joules = math.fsum((t1 - t0) * (w0 + w1) / 2 for (t0, w0), (t1, w1) in pairwise(samples))
        before = telemetry.idle(power)
        idle = math.fsum(before) / len(before) if before else None
        return Energy(gross_joules=joules, net_joules=_above(joules, idle, seconds), method="sampled power")
    stood_still = "it stood still or ran backwards" if telemetry.values(counter) else None
    return telemetry.missing.get(counter) or stood_still or "it was not sampled"


def _counted(telemetry: Telemetry, counter: str, begun: float, seconds: float) -> float | None:
    """Return the growth of a counter; None where it stood still, ran backwards or was not read."""
    samples = telemetry.known(counter)
    ends = at(samples, begun), at(samples, begun + seconds)
    if ends[0] is None or ends[1] is None:
        return None
    window = [(begun, ends[0]), *telemetry.known(counter, begun, seconds), (begun + seconds, ends[1])]
    return ends[1] - ends[0] if _grows(window) and ends[1] - ends[0] > _LEAST_WATTS * seconds else None


def _idle_watts_counted(telemetry: Telemetry, counter: str) -> float | None:
    samples = telemetry.known(counter, telemetry.begun_seconds, telemetry.idle_seconds)
    if len(samples) < 2 or samples[-1][0] - samples[0][0] < _SHORTEST_IDLE_SECONDS or not _grows(samples):
        return None
    return (samples[-1][1] - samples[0][1]) / (samples[-1][0] - samples[0][0])


def _grows(samples: Sequence[tuple[float, float]]) -> bool:
    """Return whether a counter falls nowhere, and has grown wherever it was read again after half a second or more."""
    seen, least = samples[0]
    for moment, value in samples:
        if value < least or (value == least and moment - seen >= _SURELY_GROWN_SECONDS):
            return False
        if value > least:
            seen, least = moment, value
    return True


def _above(joules: float, idle_watts: float | None, seconds: float) -> float | None:
    return None if idle_watts is None else joules - idle_watts * seconds
