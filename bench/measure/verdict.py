"""Verdicts: is B faster than A? Decided over a whole matrix at once, from one figure a process.

The rates of error that this reaches are measured by simulation in tests/performance/test_verdicts.py.
"""

import math
from collections.abc import Sequence
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
# The share of false discoveries. Where the spread is far above the margin it is also the share of single identical rows called
# different, of which 1 % are allowed: at a spread of 10 %, 200,000 simulated rows gave 0.75 % of normal ones and 1.0 % of
# autocorrelated ones; a share of 1 % gave 1.0 and 1.4 %.
FALSE_DISCOVERIES = 0.0075
# What is too small to be called a difference between two things that one machine ran in turn.
SAME_MACHINE_MARGIN = 0.01


class Judgement(StrEnum):
    """What can be said of B against A."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    SAME = "SAME"
    INCONCLUSIVE = "INCONCLUSIVE"


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """A log ratio of rates, B over A, its standard error from processes, and the degrees of freedom of that."""

    log_ratio: float
    standard_error: float
    degrees: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`ratio` of B's rate to A's with its 95 % interval; `adjusted_p` after Benjamini and Hochberg over the matrix."""

    ratio: float
    low: float
    high: float
    adjusted_p: float
    judgement: Judgement


def paired(log_ratios: Sequence[float]) -> Effect:
    """Return the effect of pairs of processes that took turns, from the log ratio of each: what both had in common drops out."""
    error = float(np.std(log_ratios, ddof=1)) / math.sqrt(len(log_ratios))
    return Effect(log_ratio=float(np.mean(log_ratios)), standard_error=error, degrees=len(log_ratios) - 1)


def unpaired(rates_a: Sequence[float], rates_b: Sequence[float]) -> Effect:
    """Return the effect between two runs that were not interleaved, by Welch's test or by Student's, whose interval is wider.

    A run whose first processes happen to agree stops early, and Welch's takes its small variance at its word: where there are
    two modes it covers 89 to 92 % only, and the wider of both 94 to 95 %. Student's alone would be too narrow where the run
    of fewer processes scatters more. They are written out, for scipy gives the degrees only with a whole test, which takes a
    millisecond; a test holds them against each other.
    """
    logs = [np.log(rates) for rates in (rates_a, rates_b)]
    counts = [len(log) for log in logs]
    variances = [float(np.var(log, ddof=1)) for log in logs]
    parts = [variance / count for variance, count in zip(variances, counts, strict=True)]
    welch = sum(parts) ** 2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    together = sum(counts) - 2
    common = sum(variance * (count - 1) for variance, count in zip(variances, counts, strict=True)) / together
    errors = {welch: math.sqrt(sum(parts)), together: math.sqrt(common * sum(1 / count for count in counts))}
    degrees = max(errors, key=lambda degrees: errors[degrees] * special.stdtrit(degrees, (1 + CONFIDENCE) / 2))
    return Effect(log_ratio=float(np.mean(logs[1]) - np.mean(logs[0])), standard_error=errors[degrees], degrees=degrees)


def verdicts(effects: Sequence[Effect], margin: float) -> tuple[Verdict, ...]:
    """Judge every row of a matrix; `margin` is the smallest relative difference that counts.

    FASTER and SLOWER need both an interval wholly beyond the margin and an adjusted p of 0.75 % at most. The interval is
    Student's, of the row alone. For the p value the row's variance is moderated by that of all rows (Smyth 2004, Linear
    models and empirical Bayes methods for assessing differential expression, section 6): ten processes alone cannot reach
    the p that a correction over 200 rows asks of a single true change. That helps where rows spread alike: a quiet row
    among noisy ones is drawn towards their variance, and its small change is then found less often, or not at all.
    """
    if not effects:
        return ()
    log_ratios = np.array([effect.log_ratio for effect in effects])
    errors = np.array([effect.standard_error for effect in effects])
    degrees = np.array([effect.degrees for effect in effects], np.float64)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, degrees) * errors
    moderated, more_degrees = moderate(errors**2, degrees)
    p = 2 * stats.t.sf(np.abs(log_ratios) / np.sqrt(moderated), more_degrees)
    adjusted = stats.false_discovery_control(p)
    edge = math.log1p(margin)
    return tuple(
        Verdict(
            ratio=math.exp(log_ratio),
            low=math.exp(log_ratio - reach),
            high=math.exp(log_ratio + reach),
            adjusted_p=float(q),
            judgement=_judge(log_ratio - reach, log_ratio + reach, q <= FALSE_DISCOVERIES, edge),
        )
        for log_ratio, reach, q in zip(log_ratios, half, adjusted, strict=True)
    )


def _judge(low: float, high: float, significant: bool, edge: float) -> Judgement:
    if significant and low > edge:
        return Judgement.FASTER
    if significant and high < -edge:
        return Judgement.SLOWER
    return Judgement.SAME if -edge < low and high < edge else Judgement.INCONCLUSIVE


def moderate(variances: Floats, degrees: Floats) -> tuple[Floats, Floats]:
    """Return variances drawn towards what the rows have in common, and their degrees of freedom (Smyth's 2004 estimators).

    Fewer than three rows have nothing in common to estimate and stay as they are.
    """
    if len(variances) < 3 or not (variances > 0).all():
        return variances, degrees
    logs = np.log(variances) - special.digamma(degrees / 2) + np.log(degrees / 2)
    spread = float(np.var(logs, ddof=1) - np.mean(special.polygamma(1, degrees / 2)))
    if spread <= special.polygamma(1, _MOST / 2):  # As alike as chance alone would have them.
        return np.full_like(variances, math.exp(np.mean(logs))), np.full_like(degrees, np.inf)
    prior = 2 * optimize.brentq(lambda half: special.polygamma(1, half) - spread, 1e-3, _MOST)
    common = math.exp(np.mean(logs) + special.digamma(prior / 2) - math.log(prior / 2))
    return (prior * common + degrees * variances) / (prior + degrees), prior + degrees


_MOST = 1e6
