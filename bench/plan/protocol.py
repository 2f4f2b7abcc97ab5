"""The protocol: how often and how long something is measured, and the presets there are."""

import hashlib
from typing import Annotated

import msgspec

from bench.errors import unknown

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Protocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often and how long.

    preset: the preset it is, or "own".
    processes: fresh processes for each of `training`, `inference` and every export, the independent unit of every interval.
    processes_at_most: more are started, up to this many, until the interval of the median is within the tolerance.
    tolerance: half the width of the 95 % interval of the median over processes, as a share of the median.
    seeds: fresh processes for `accuracy`, each with a seed of its own.
    warmup_steps, warmup_seconds: both must be reached before anything counts.
    warmup_at_most_seconds: beyond them the warm-up goes on until it has settled, but no longer than this.
    blocks, inference_block_seconds, training_block_seconds: a block is many steps between two synchronisations.
    latency_requests, latency_seconds: single requests until one of the two is reached; an artifact's batches have a third of it.
        With no requests it is only asked what an export takes, and whether its artifact answers as its source.
    compared_images: images on which an exported artifact is held against its source.
    timeout_seconds: after which a job is killed.
    threads: CPU threads; None takes every physical core.
    """

    preset: str = "own"
    processes: Count = 6
    processes_at_most: Count = 12
    tolerance: Share = 0.01
    seeds: Count = 3
    warmup_steps: Count = 20
    warmup_seconds: Seconds = 1.0
    warmup_at_most_seconds: Seconds = 60.0
    blocks: Count = 20
    inference_block_seconds: Seconds = 0.65
    training_block_seconds: Seconds = 1.0
    latency_requests: Annotated[int, msgspec.Meta(ge=0)] = 1000
    latency_seconds: Seconds = 10.0
    compared_images: Count = 256
    timeout_seconds: Seconds = 1800.0
    threads: Count | None = None

    def __post_init__(self) -> None:
        if self.processes_at_most < self.processes:
            raise ValueError(f"processes_at_most is {self.processes_at_most}, less than processes, {self.processes}")

    @property
    def hash(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the protocol's values."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:12]


# `smoke` asks whether it runs at all. `quick` gives an idea within minutes. Six processes are the fewest whose order statistics
# give a 95 % interval of a median, and 20 blocks of 0.65 s last the ten seconds that energy takes. Ten processes are for a
# claim, with half the tolerance.
PRESETS: dict[str, Protocol] = {
    "smoke": Protocol(
        preset="smoke",
        processes=1,
        processes_at_most=1,
        seeds=1,
        warmup_steps=3,
        warmup_seconds=0.2,
        warmup_at_most_seconds=1.0,
        blocks=4,
        inference_block_seconds=0.1,
        training_block_seconds=0.2,
        latency_requests=100,
        latency_seconds=1.0,
        timeout_seconds=300.0,
    ),
    "quick": Protocol(
        preset="quick",
        processes=2,
        processes_at_most=2,
        seeds=1,
        warmup_steps=4,
        warmup_seconds=0.4,
        warmup_at_most_seconds=2.0,
        blocks=4,
        inference_block_seconds=0.25,
        training_block_seconds=0.4,
        latency_requests=340,
        latency_seconds=1.3,
        timeout_seconds=600.0,
    ),
    "standard": Protocol(preset="standard"),
    "rigorous": Protocol(preset="rigorous", processes=10, processes_at_most=20, tolerance=0.005, seeds=5),
}


def preset(name: object) -> Protocol:
    """Return a preset by its name; raise `UsageError` for one that does not exist."""
    if not isinstance(name, str) or name not in PRESETS:
        raise unknown("protocol", str(name), PRESETS)
    return PRESETS[name]
