"""The record: one measurement of one cell in one process, as it stands in a line of results/*.jsonl.

Raw samples only; statistics are derived on reading. Units are in the names. None is 'not measured', never 0.

Schema history
1   2026-11   the first: build, training, accuracy, inference, memory, export, batch_size
2   2026-11   the protocol's preset, its most processes, its tolerance and the most seconds of its warm-up; the blocks' beginning
              and their queueing; the side of a comparison; telemetry; ceilings; a device's memory as NVML saw it
3   2026-11   of an epoch what was trained, its seconds of training and of waiting for data, and a score in place of the top-1;
              several labels an image; the recipe itself; of the loader each step in place of the sums; the blocks tried; when
              groups of requests began
4   2026-11   of an artifact each number of threads and batch in a process of its own, with its peak of memory; its precision, its
              accuracy and its source's; which training frameworks its process had imported
"""

import math
from typing import Literal

import msgspec

from bench.errors import Status
from bench.measure.telemetry import Telemetry
from bench.measure.timing import Blocks
from bench.plan.cell import Cell, Key, Side
from bench.plan.protocol import Protocol
from bench.plan.recipe import Recipe
from bench.records.accuracy import Accuracy, MultiLabelAccuracy
from bench.records.environment import Environment

SCHEMA = 5

# What a resumed run does not try again: everything but what may be mended from outside.
FINAL: frozenset[Status] = frozenset({"ok", "unsupported", "out_of_memory", "timeout", "diverged"})


class Build(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="build", tag_field="kind"):
    """`flops_per_image`: floating-point operations of one forward pass, two a multiply-accumulate."""

    parameters: int
    flops_per_image: int | None
    build_seconds: float


class LoaderBlock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps from the loader between two synchronisations, of which the last step's seconds hold the second.

    `step_seconds` and, within them, `wait_seconds` until the batch was in hand: of each step in the order taken, or of as
    many neighbours together as keep a block's samples few. `begun_seconds` is on the machine's monotonic clock.
    """

    begun_seconds: float | None
    steps: int
    step_seconds: tuple[float, ...]
    wait_seconds: tuple[float, ...]


class LoaderTiming(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Training from the real loader. The first step, which starts it, stands apart and is in none of the sums.

    Schema 1 and 2 kept sums only: those stand as one block of one sample.
    """

    first_step_seconds: float | None
    first_wait_seconds: float | None
    blocks: tuple[LoaderBlock, ...]

    @property
    def steps(self) -> int:
        return sum(block.steps for block in self.blocks)

    @property
    def total_seconds(self) -> float:
        return math.fsum(seconds for block in self.blocks for seconds in block.step_seconds)

    @property
    def wait_seconds(self) -> float:
        """What of the total went by before a batch was in hand."""
        return math.fsum(seconds for block in self.blocks for seconds in block.wait_seconds)


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="training", tag_field="kind"):
    """`resident`: steps on batches that lie on the device. The losses are of one fixed batch, at first and after steps on it."""

    first_step_seconds: float
    compile_seconds: float | None
    resident: Blocks
    loader: LoaderTiming
    first_loss: float
    last_loss: float
    skipped_steps: int | None


class Inference(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="inference", tag_field="kind"
):
    """`resident`: forward passes at the cell's batch. Latency: single images, each waited for.

    `latency_begun_seconds`: when each group of `latency_group_sizes` requests began, on the machine's monotonic clock.
    """

    first_batch_seconds: float
    compile_seconds: float | None
    resident: Blocks
    latency_warmup_seconds: tuple[float, ...]
    latency_seconds: tuple[float, ...]
    latency_begun_seconds: tuple[float, ...] = ()
    latency_group_sizes: tuple[int, ...] = ()


class MemoryPeak(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The allocator's peak and reservation on a GPU, and the resident peak above what stood before the model.

    `device_bytes`: how much more NVML saw in use on the device afterwards than before the model, if nobody else used it.
    """

    allocated_bytes: int | None
    reserved_bytes: int | None
    resident_bytes: int
    device_bytes: int | None = None


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="memory", tag_field="kind"):
    baseline_resident_bytes: int
    inference: MemoryPeak
    training: MemoryPeak


class ArtifactTiming(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One artifact, loaded, asked for the first time, then for requests of `batch_size` images each.

    A process a number of threads asks single images first and the cell's batch after them, whose load, first inference and peak
    are therefore of a process that has run before, but for TensorFlow.js's; until 2026-11-27 each had a process of its own.
    Requests came in groups as those of `Inference`. `peak_resident_bytes`: the most that the process had in memory up to then,
    its imports included.
    """

    threads: int
    batch_size: int
    load_seconds: float
    first_inference_seconds: float
    latency_seconds: tuple[float, ...]
    latency_begun_seconds: tuple[float, ...] = ()
    latency_group_sizes: tuple[int, ...] = ()
    peak_resident_bytes: int | None = None


class Export(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="export", tag_field="kind"):
    """An artifact that agrees with its source; errors are over all logits of `compared_images` images of the test split.

    `maximum_relative_error` is the maximum absolute error over the largest absolute logit, and `maximum_centred_error` over the
    furthest that a logit of the source lies from the mean of its class: an artifact that answers the same for every image has
    one of 0.5 or more; None where nobody asked, or all answers of the source are alike. `top1_agreement`: the share of images
    with the same top-1 as the source's, or with several labels of images and labels with the same answer. `source_top1` and
    `test_top1`: the accuracy of the source and of the artifact on the test split, where the source was trained for it.
    `training_frameworks`: those that the process which ran the artifact had imported; None where nobody looked.
    """

    export_seconds: float
    artifact_bytes: int
    timings: tuple[ArtifactTiming, ...]
    precision: str = "fp32"
    compared_images: int
    maximum_absolute_error: float
    maximum_relative_error: float
    maximum_centred_error: float | None = None
    top1_agreement: float
    source_top1: float | None = None
    test_top1: float | None = None
    training_frameworks: tuple[str, ...] | None = None
    runtime: str
    method: str

    @property
    def main(self) -> ArtifactTiming:
        """Single images with as many threads as the runtime was given."""
        found = self.timing()
        assert found is not None, "every artifact is timed with single images"
        return found

    @property
    def latency_seconds(self) -> tuple[float, ...]:
        return self.main.latency_seconds

    def timing(self, *, threads: int | None = None, several: bool = False) -> ArtifactTiming | None:
        """Return the timing of single images, or of several together, with so many threads (None: the most)."""
        found = [
            timing
            for timing in self.timings
            if (timing.batch_size > 1) is several and (threads is None or timing.threads == threads)
        ]
        return max(found, key=lambda timing: timing.threads, default=None)


class BatchSize(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="batch_size", tag_field="kind"
):
    fits: int


class Traits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="traits", tag_field="kind"):
    """What two libraries' versions of one architecture can differ in.

    `outputs` counts the logits. `pixels`: what black and white become before the untrained network, three channels each, and
    `published_pixels` before one with the weights that its card names. Then the
    settings of its layers: batch normalisation's epsilons and the weights it gives the newest batch, once each, and the
    largest rate of dropout or stochastic depth.
    """

    parameters: int
    flops: int | None
    outputs: int
    pixels: tuple[float, ...]
    published_pixels: tuple[float, ...]
    batch_norm_epsilon: tuple[float, ...]
    batch_norm_momentum: tuple[float, ...]
    dropout: float


class Ceiling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One limit of the device: what each step of the blocks does, in floating-point operations or in bytes moved.

    `name`: a precision for a matrix product of `side` × `side`; "memory", "host to device" or "device to host" for a copy.
    """

    name: str
    side: int | None
    operations: int | None
    moved_bytes: int | None
    blocks: Blocks

    @property
    def per_second(self) -> float:
        """Operations, or bytes, a second in the fastest block: a limit is no average."""
        return (self.operations or self.moved_bytes or 0) * self.blocks.steps_per_block / min(self.blocks.block_seconds)


class Ceilings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ceilings", tag_field="kind"):
    """What the device can do at most, and with how many threads where it is a CPU."""

    threads: int
    found: tuple[Ceiling, ...]


Figures = Build | Training | Accuracy | MultiLabelAccuracy | Inference | Memory | Export | BatchSize | Traits | Ceilings
InForce = dict[str, str | int | float | bool | None]


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a worker says of its job. `reason` is None when the status is ok."""

    status: Status
    reason: str | None = None
    figures: Figures | None = None
    in_force: InForce = {}
    worker_started: float | None = None


class Hashes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first 12 digits of the SHA-256 of the files behind a measurement; None where there is no such file.

    A folder of images is hashed by the names, sizes and times of change of its files.
    """

    card: str | None
    recipe: str
    matrix: str
    protocol: str
    weights: str | None
    dataset: str | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a results file.

    `run` names the run, `process` counts the repetitions from 0, `batch_size` is what was run: the cell's, or what was
    found for "auto". `recipe`: what the cell's recipe said then.
    `start_seconds`: from the request to the first line of the worker's own code. `side`: in a run that
    compares, "a", "b", or "a-again" for the control; None elsewhere.
    """

    schema: int = SCHEMA
    run: str
    cell: Cell
    batch_size: int | None
    measurement: str
    side: Side | None = None
    process: int
    seed: int
    status: Status
    reason: str | None
    figures: Figures | None
    in_force: InForce
    isolation: Literal["fork", "spawn", "none"]
    start_seconds: float | None
    wall_seconds: float
    finished: str
    log: str | None
    protocol: Protocol
    recipe: Recipe | None = None
    hashes: Hashes
    environment: Environment
    telemetry: Telemetry | None = None

    @property
    def key(self) -> Key:
        """What the record is of: the cell, the measurement, the side and the process."""
        return (self.cell.id, self.measurement, self.side, self.process)
