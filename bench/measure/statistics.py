"""Statistics, derived from raw samples when they are read.

They stand here in a few lines, and not as scipy's, because every table needs them, scipy is slow to import and the base
installation does without; tests/measure/test_statistics.py holds each against scipy.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

# The fewest independent samples whose order statistics hold a median with 95 %.
FEWEST_FOR_INTERVAL = 6
# What an interval asks of its order statistics so that it holds at 95 %: processes are added until it is narrow, and one that
# happens to be narrow too early is wrong more often. tests/performance/test_verdicts.py simulates what it comes to.
ASKED = 0.96


class Interval(NamedTuple):
    """A median with a range: `coverage` is the probability that the range holds the true median."""

    median: float
    low: float
    high: float
    coverage: float
    samples: int

    @property
    def half_width(self) -> float:
        """Half the width of the range, as a share of the median."""
        return (self.high - self.low) / 2 / self.median


def median_interval(values: Sequence[float], confidence: float = ASKED) -> Interval:
    """Return the median of independent samples with a range of order statistics that covers `confidence`.

    The range from the k-th smallest to the k-th largest of n samples holds the true median with probability
    1 − 2·P(Binomial(n, ½) < k), whatever the distribution. Between the last k that covers enough and the first that does not the
    ends are interpolated (Hettmansperger and Sheather 1986, Confidence intervals based on interpolated order statistics).
    Fewer than 6 samples cannot reach that: the range is then all of them and `coverage` says how much that is.
    """
    ordered = sorted(values)
    count = len(ordered)
    k = 1
    while 2 * (k + 1) <= count and _order_coverage(count, k + 1) >= confidence:
        k += 1
    wide, narrow = _order_coverage(count, k), _order_coverage(count, k + 1)
    if wide < confidence or 2 * (k + 1) > count:
        return Interval(median(ordered), ordered[k - 1], ordered[-k], wide, count)
    share = (wide - confidence) / (wide - narrow)
    inward = (count - k) * share / (k + (count - 2 * k) * share)
    low = (1 - inward) * ordered[k - 1] + inward * ordered[k]
    high = (1 - inward) * ordered[-k] + inward * ordered[-k - 1]
    return Interval(median(ordered), low, high, confidence, count)


def _order_coverage(count: int, k: int) -> float:
    if count < 2:
        return 0.0
    return float(1 - 2 * sum(math.comb(count, i) for i in range(k)) / 2**count)


def samples_needed(share: float, confidence: float = 0.99) -> int:
    """Return how many samples a percentile needs for a tail with one over-latency sample to be believed.

    The smallest n with P(Binomial(n, 1 − share) ≤ 1) ≤ 1 − confidence: 64 for 0.90, 130 for 0.95, 662 for 0.99, 6,636
    for 0.999, which are the counts of MLPerf's LoadGen (early stopping, one over-latency query allowed). The samples must be
    independent; those of several processes together are not.
    """
    over = 1 - share
    count = 2
    while share**count + count * over * share ** (count - 1) > 1 - confidence:
        count += 1
    return count


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return a percentile as the sample at its rank, or None where there are fewer samples of one process than it needs.

    That is a rule of when to show it: of 662 samples the one shown has six beyond it, and no confidence of its own.
    """
    if len(values) < (1 if share == 0.5 else samples_needed(share)):
        return None
    if share == 0.5:
        return median(values)
    # 0.07 · 100 is 7.000000000000001, whose next whole number is a rank too high.
    rank = math.ceil(round(share * len(values), 6))
    return sorted(values)[rank - 1]


def proportion_interval(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a proportion seen in `count` independent trials (Wilson 1927)."""
    z = 1.959964
    shrink = 1 + z * z / count
    centre = (share + z * z / (2 * count)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)  # Rounding can pass the ends by 1e-17.
