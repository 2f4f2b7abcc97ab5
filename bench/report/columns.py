"""The columns of the comparison tables: each shows one thing of a row as text."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import Literal

from bench.plan.cards import framework_model, model_card, published
from bench.records.accuracy import Accuracy, LabelScores, MultiLabelAccuracy
from bench.records.flags import flags
from bench.records.rates import energy_method, joules_per_image, of_ceiling
from bench.records.record import Build, Inference, Memory, MemoryPeak, Training
from bench.report.format import NOTHING, mebibytes, milliseconds, number, percent, rate, several, top1
from bench.report.row import Row

Columns = dict[str, Callable[[Row], str]]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _peak(part: Literal["inference", "training"]) -> Callable[[Row], str]:
    """Return a column of the allocator's peak on a GPU, and of the resident peak on a CPU; neither stands for the other."""

    def column(row: Row) -> str:
        peaks: list[MemoryPeak] = [getattr(memory, part) for memory in row.figures(Memory)]
        if row.cell.device == "cpu":
            return mebibytes(max((peak.resident_bytes for peak in peaks), default=None))
        known = (peak.allocated_bytes for peak in peaks)
        return mebibytes(max((allocated for allocated in known if allocated is not None), default=None))

    return column


def _whole(row: Row, part: Literal["inference", "training"]) -> str:
    """Return the resident peak with what stood before the model."""
    peaks = [m.baseline_resident_bytes + getattr(m, part).resident_bytes for m in row.figures(Memory)]
    return mebibytes(max(peaks, default=None))


def _later_epoch(accuracy: Accuracy | MultiLabelAccuracy) -> list[float]:
    """Return the median seconds of an epoch after the first, which compiles and starts workers."""
    ends = [epoch.elapsed_seconds for epoch in accuracy.epochs]
    return [median(after - before for before, after in pairwise(ends))] if len(ends) > 1 else []


def _lost(training: Training) -> float:
    """Return the share of the device's own rate that training from the loader falls short by."""
    loader, resident = training.loader, training.resident
    device = resident.steps_per_block * len(resident.block_seconds) / math.fsum(resident.block_seconds)
    return 1 - loader.steps / loader.total_seconds / device


def _of_ceiling(kind: type) -> Callable[[Row], str]:
    """Return a column of the share of the device's fastest product that the middle process reaches."""

    def column(row: Row) -> str:
        shares = [share for record in row.records_of(kind) if (share := of_ceiling(record, row.reference)) is not None]
        return percent(median(shares) if shares else None)

    return column


def flagged(*kinds: type) -> Callable[[Row], str]:
    """Return a column of the flags of what is timed in a row."""

    def column(row: Row) -> str:
        found: dict[str, None] = {}
        for kind in kinds:
            found |= dict.fromkeys(flags(row.records_of(kind)))
        return ", ".join(found) or NOTHING

    return column


def _joules(kind: type, part: Literal["gross", "net"]) -> Callable[[Row], str]:
    """Return a column of the joules an image takes, in the middle process."""

    def column(row: Row) -> str:
        found = (joules_per_image(record, part) for record in row.records_of(kind))
        return rate([joules for joules in found if joules is not None])

    return column


def _energy_method(kind: type) -> Callable[[Row], str]:
    """Return a column of how the joules were read; of both ways where processes differ."""

    def column(row: Row) -> str:
        found = {method for record in row.records_of(kind) if (method := energy_method(record))}
        return " and ".join(sorted(found)) or NOTHING

    return column


def _allocated(part: Literal["inference", "training"], field: str) -> Callable[[Row], str]:
    """Return a column of one of the three ways to see the memory of a GPU."""
    return lambda row: mebibytes(
        max(
            (bytes_ for m in row.figures(Memory) if (bytes_ := getattr(getattr(m, part), field)) is not None),
            default=None,
        )
    )


def _batch(row: Row) -> str:
    return f"{row.batch_size} (auto)" if row.cell.batch_size == "auto" else str(row.batch_size)


def _published(row: Row) -> str:
    own = framework_model(row.cell.architecture, row.cell.framework)
    note = f"; {own.note}" if own is not None and own.note else ""
    there = published(row.cell.architecture, row.cell.framework)
    return (there.source if there else NOTHING) + note


def _published_number(row: Row, field: str, scale: float) -> str:
    there = published(row.cell.architecture, row.cell.framework)
    return NOTHING if there is None else number(getattr(there, field) * scale, 2)


def _label_scores(which: str, name: str) -> Callable[[Row], str]:
    """Return a column of one score on the test split: its mean over seeds, and each."""

    def column(row: Row) -> str:
        found: list[LabelScores] = [getattr(figures, which) for figures in row.figures(MultiLabelAccuracy)]
        return several([getattr(scores, name) for scores in found])

    return column


def _worst(which: str) -> Callable[[Row], str]:
    """Return a column of the lowest F1 that a class has, each seed's own."""
    return lambda row: several([min(getattr(m, which).class_f1) for m in row.figures(MultiLabelAccuracy)])


def _waiting(row: Row) -> str:
    """Return the share of the training's time that went by before a batch was in hand."""
    trained: list[Accuracy | MultiLabelAccuracy] = [*row.figures(Accuracy), *row.figures(MultiLabelAccuracy)]
    epochs = [epoch for one in trained for epoch in one.epochs]
    timed = [(e.wait_seconds, e.training_seconds) for e in epochs if e.wait_seconds is not None and e.training_seconds]
    return percent(sum(wait for wait, _ in timed) / sum(whole for _, whole in timed) if timed else None)


def _top1(row: Row) -> str:
    accuracies = row.figures(Accuracy)
    return top1([a.test_top1 for a in accuracies], accuracies[0].test_images) if accuracies else NOTHING


def _shape(row: Row) -> str:
    return f"{row.batch_size} × {row.cell.image_size} px"


def _in_part(kind: type, show: Callable[[Row], str]) -> Callable[[Row], str]:
    """Return a column that shows, of all that was measured of a model, the cell with figures of one kind."""

    def column(row: Row) -> str:
        part = row.part(kind)
        return show(part) if part.records else NOTHING

    return column


def _count(row: Row, kind: type) -> str:
    return str(len(row.figures(kind)) or NOTHING)


def _latency(share: float) -> Callable[[Row], str]:
    """Return a column of the percentiles of each process's requests."""
    return lambda row: milliseconds([i.latency_seconds for i in row.figures(Inference)], share)


MODEL: Columns = {
    "Architecture": lambda row: model_card(row.cell.architecture).title,
    "Framework": lambda row: row.cell.framework,
}
AXES: Columns = MODEL | {
    "Precision": lambda row: row.cell.precision,
    "Execution": lambda row: row.cell.execution,
    "Batch": _batch,
    "Image px": lambda row: str(row.cell.image_size),
}
MODELS: Columns = MODEL | {
    "Image px": lambda row: str(row.cell.image_size),
    "Parameters, M": lambda row: number(row.first(Build).parameters / 1e6, 2),
    "GFLOPs an image": lambda row: number((row.first(Build).flops_per_image or 0) / 1e9 or None, 3),
    "Published parameters, M": lambda row: _published_number(row, "parameters", 1e-6),
    "Published top-1, %": lambda row: _published_number(row, "top1_percent", 1),
    "Published by": _published,
}
TRAINING: Columns = AXES | {
    "Top-1 on test, %": _top1,
    "First epoch, s": lambda row: number(_mean([a.epochs[0].elapsed_seconds for a in row.figures(Accuracy)])),
    "Later ones, s": lambda row: rate([seconds for a in row.figures(Accuracy) for seconds in _later_epoch(a)]),
    "Waiting for data": _waiting,
    "s to best epoch": lambda row: rate([a.epochs[a.best_epoch - 1].elapsed_seconds for a in row.figures(Accuracy)]),
    "Training img/s": lambda row: rate([t.resident.images_per_second(row.batch_size) for t in row.figures(Training)]),
    "from the loader": lambda row: rate(
        [t.loader.steps * row.batch_size / t.loader.total_seconds for t in row.figures(Training)]
    ),
    "Lost to the loader": lambda row: percent(_mean([_lost(t) for t in row.figures(Training)])),
    "First step, s": lambda row: number(_mean([t.first_step_seconds for t in row.figures(Training)]), 2),
    "Compile, s": lambda row: number(_mean([t.compile_seconds for t in row.figures(Training)])),
    "Of the ceiling": _of_ceiling(Training),
    "J an image": _joules(Training, "gross"),
    "above idle": _joules(Training, "net"),
    "by": _energy_method(Training),
    "Processes": lambda row: _count(row, Training),
    "Seeds": lambda row: _count(row, Accuracy),
    "Peak memory, MiB": _peak("training"),
    "Reserved, MiB": _allocated("training", "reserved_bytes"),
    "On the device, MiB": _allocated("training", "device_bytes"),
    "Whole process, MiB": lambda row: _whole(row, "training"),
    "Flags": flagged(Training, Accuracy),
}
INFERENCE: Columns = AXES | {
    "img/s": lambda row: rate([i.resident.images_per_second(row.batch_size) for i in row.figures(Inference)]),
    "p50, ms": _latency(0.5),
    "p90, ms": _latency(0.9),
    "p99, ms": _latency(0.99),
    "First batch, s": lambda row: number(_mean([i.first_batch_seconds for i in row.figures(Inference)]), 2),
    "Compile, s": lambda row: number(_mean([i.compile_seconds for i in row.figures(Inference)])),
    "Of the ceiling": _of_ceiling(Inference),
    "J an image": _joules(Inference, "gross"),
    "above idle": _joules(Inference, "net"),
    "by": _energy_method(Inference),
    "Processes": lambda row: _count(row, Inference),
    "Peak memory, MiB": _peak("inference"),
    "Reserved, MiB": _allocated("inference", "reserved_bytes"),
    "On the device, MiB": _allocated("inference", "device_bytes"),
    "Whole process, MiB": lambda row: _whole(row, "inference"),
    "Flags": flagged(Inference),
}
OVERVIEW: Columns = MODEL | {
    "Precision": lambda row: row.cell.precision,
    "Execution": lambda row: row.cell.execution,
    "Parameters, M": _in_part(Build, MODELS["Parameters, M"]),
    "Published top-1, %": MODELS["Published top-1, %"],
    "Top-1 on test, %": _in_part(Accuracy, TRAINING["Top-1 on test, %"]),
    "Trained for it at": _in_part(Accuracy, _shape),
    "Training timed at": _in_part(Training, _shape),
    "Training img/s": _in_part(Training, TRAINING["Training img/s"]),
    "Training's peak, MiB": _in_part(Training, TRAINING["Peak memory, MiB"]),
    "Inference timed at": _in_part(Inference, _shape),
    "Inference img/s": _in_part(Inference, INFERENCE["img/s"]),
    "p50, ms": _in_part(Inference, INFERENCE["p50, ms"]),
    "Training's flags": _in_part(Training, TRAINING["Flags"]),
    "Inference's flags": _in_part(Inference, INFERENCE["Flags"]),
    "Best for": lambda row: model_card(row.cell.architecture).best_for or NOTHING,
}
MULTILABEL: Columns = (
    MODEL
    | {
        "Data set": lambda row: row.cell.dataset,
        "Recipe": lambda row: row.cell.recipe,
    }
    | {name: show for name, show in AXES.items() if name not in MODEL}
    | {
        "Macro F1, chosen": _label_scores("test_at_chosen", "macro_f1"),
        "at ½": _label_scores("test_at_half", "macro_f1"),
        "Worst class's F1, chosen": _worst("test_at_chosen"),
        "worst at ½": _worst("test_at_half"),
        "Micro F1": _label_scores("test_at_chosen", "micro_f1"),
        "mAP": lambda row: several([m.test_mean_average_precision for m in row.figures(MultiLabelAccuracy)]),
        "All labels right": _label_scores("test_at_chosen", "subset_accuracy"),
        "Hamming loss": _label_scores("test_at_chosen", "hamming_loss"),
        "Seeds": lambda row: _count(row, MultiLabelAccuracy),
        "An epoch, s": lambda row: rate(
            [seconds for m in row.figures(MultiLabelAccuracy) for seconds in _later_epoch(m)]
        ),
        "Waiting for data": _waiting,
        "Flags": flagged(MultiLabelAccuracy),
    }
)
