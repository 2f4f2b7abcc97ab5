"""A format: what makes an artifact of it, and the question that a process with nothing but its runtime answers."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from bench.measure.timing import GROUPS

if TYPE_CHECKING:  # Formats are listed where neither NumPy nor a framework is installed.
    import numpy as np
    from numpy.typing import NDArray

    from bench.frameworks.trial import Source as Source

    Floats = NDArray[np.float32]
else:
    Source = Floats = Any
Run = Callable[[Floats], Floats]
Tell = Callable[[str], None]
BATCHES = 8
# In what an artifact computes: 32 bits, weights in 16 bits, weights in 8 bits, or weights and activations in 8 bits.
Precision = Literal["fp32", "fp16", "int8-weights", "int8"]


class Wanted(NamedTuple):
    """One artifact to be made: its file or folder, the only batch it need take (None: any), and how to calibrate it.

    `calibration`: normalised images of the training split, as the model takes them, where the format computes in eight bits.
    """

    artifact: Path
    batch_size: int | None
    calibration: Floats | None = None


class Exporter(NamedTuple):
    """How a format is made from one kind of source: `export` returns the method it used.

    `packages` must be installed for it, by import name.
    """

    export: Callable[[Source, Wanted], str]
    packages: tuple[str, ...] = ()


class Timed(NamedTuple):
    """How many requests a process times: until one of the two is reached."""

    requests: int
    seconds: float


UNTIMED = Timed(requests=0, seconds=0.0)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the process with an artifact's runtime is asked.

    `pixels`: a .npy file of normalised images, float32 in the source's own order of axes. With `logits`, a .npy file that takes
    float32 in [n, classes], every image is answered once, in order. `requests` of `batch_size` images each are timed, or what
    `seconds` allow, in so many `groups`. Before any is timed, requests are made for `warmup_seconds`.
    Images of so many `batches` take turns, so that no request finds the last one's in the caches.
    """

    format: str
    artifact: str
    pixels: str
    batch_size: int
    threads: int
    logits: str | None = None
    requests: int = 0
    seconds: float = 0.0
    groups: int = GROUPS
    warmup_seconds: float = 1.0
    batches: int = BATCHES


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What it says. Requests came in groups, as those of `Inference`.

    `threads`: how many the runtime took, where it can tell; it may be fewer than were asked for. `version`: of a runtime that is
    no package of Python, whose versions the environment has.
    `peak_resident_bytes`: the most that its process had in memory, imports included; of several processes the sum.
    `training_frameworks`: those that the process had imported.
    """

    load_seconds: float
    first_inference_seconds: float
    latency_seconds: tuple[float, ...]
    latency_begun_seconds: tuple[float, ...]
    latency_group_sizes: tuple[int, ...]
    peak_resident_bytes: int | None
    training_frameworks: tuple[str, ...]
    threads: int | None = None
    version: str | None = None


class Format(NamedTuple):
    """A file of this folder has one, `FORMAT`.

    runtime: what runs the artifact. suffix: what its name ends with; "" for a folder. example: in examples/ a program that runs
    it. exporters: by the kind of a source what makes it. answer: asked in a process of its own. packages: what
    the runtime needs, by import name; install: what to type where they are missing. static: an artifact takes one batch only.
    several_threads: the runtime can be told how many. device: where it runs. needs: raises `Unavailable` where something else
    is missing; prepare: fetches that, where it can be, and tells how it goes.
    """

    runtime: str
    suffix: str
    example: str
    exporters: dict[str, Exporter]
    answer: Callable[[Question], Answer]
    packages: tuple[str, ...] = ()
    install: str = "pip install 'imagebench[all]'"
    precision: Precision = "fp32"
    static: bool = False
    several_threads: bool = True
    device: Literal["cpu", "cuda"] = "cpu"
    needs: Callable[[], None] = lambda: None
    prepare: Callable[[Tell], None] = lambda tell: None
