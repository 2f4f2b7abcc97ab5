"""The protocol: how often and how long something is measured."""

import hashlib
from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Protocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often and how long.

    processes: fresh processes for each of `training` and `inference`, the independent unit of every interval.
    seeds: fresh processes for `accuracy`, each with a seed of its own.
    warmup_steps, warmup_seconds: both must be reached before anything counts.
    blocks, inference_block_seconds, training_block_seconds: a block is many steps between two synchronisations.
    latency_requests, latency_seconds: single requests until one of the two is reached.
    compared_images: images on which an exported artifact is held against its source.
    timeout_seconds: after which a job is killed.
    threads: CPU threads; None takes every physical core.
    """

    processes: Count = 6
    seeds: Count = 3
    warmup_steps: Count = 20
    warmup_seconds: Seconds = 1.0
    blocks: Count = 20
    inference_block_seconds: Seconds = 0.25
    training_block_seconds: Seconds = 1.0
    latency_requests: Count = 1000
    latency_seconds: Seconds = 10.0
    compared_images: Count = 64
    timeout_seconds: Seconds = 1800.0
    threads: Count | None = None

    @property
    def hash(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the protocol's values."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:12]
