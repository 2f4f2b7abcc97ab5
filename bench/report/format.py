"""Figures as text, with fixed digits. What was not measured is a dash."""

import math
from collections.abc import Sequence
from statistics import fmean

from bench.measure.statistics import median_interval, percentile, proportion_interval

NOTHING = "–"
TOO_FEW = "too few"


def rate(values: Sequence[float]) -> str:
    """Return the median of one figure a process, with its range where there are several processes."""
    if not values:
        return NOTHING
    interval = median_interval(values)
    text = _three_digits(interval.median)
    if interval.samples < 2:
        return text
    return f"{text} ({_three_digits(interval.low)}–{_three_digits(interval.high)})"


def milliseconds(processes: Sequence[Sequence[float]], share: float) -> str:
    """Return a percentile of seconds in milliseconds, as a rate is shown: the median of each process's, with its range.

    Or that the samples of a process do not support it.
    """
    found = [percentile(samples, share) for samples in processes if samples]
    known = [value * 1e3 for value in found if value is not None]
    return rate(known) if len(known) == len(found) else TOO_FEW


def top1(shares: Sequence[float], images: int) -> str:
    """Return the accuracy in percent, of one seed with the interval that the test split's size allows, else the mean and each."""
    if not shares:
        return NOTHING
    if len(shares) > 1:
        each = ", ".join(f"{share * 100:.1f}" for share in sorted(shares))
        return f"{fmean(shares) * 100:.1f} ({each})"
    low, high = proportion_interval(shares[0], images)
    return f"{shares[0] * 100:.1f} ({low * 100:.1f}–{high * 100:.1f})"


def several(scores: Sequence[float]) -> str:
    """Return the mean of scores from 0 to 1, one a seed, and where there are several each of them."""
    if not scores:
        return NOTHING
    each = f" ({', '.join(f'{score:.3f}' for score in sorted(scores))})" if len(scores) > 1 else ""
    return f"{fmean(scores):.3f}{each}"


def number(value: float | None, digits: int = 1) -> str:
    """Return a figure with so many digits after the point; one too small for them reads so, and not 0."""
    if value is None:
        return NOTHING
    least = 10**-digits
    return f"<{least:.{digits}f}" if 0 < value < least / 2 else f"{value:,.{digits}f}"


def counted(count: int, one: str, several: str = "") -> str:
    """Return a count with its noun: 1 cell, 2 cells."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.1%}"


def mebibytes(value: int | None) -> str:
    return NOTHING if value is None else f"{value / 2**20:,.0f}"


def _three_digits(value: float) -> str:
    """Return three significant digits or all before the point, no exponent; below 1 at least two digits after it."""
    if value >= 10:
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
    places = 2 if value == 0 else max(2, 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"
