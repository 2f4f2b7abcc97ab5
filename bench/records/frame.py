"""Records as a table: one row a record, statistics derived from the raw samples."""

from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.measure.statistics import percentile
from bench.records.accuracy import Accuracy, MultiLabelAccuracy
from bench.records.rates import energy_method, joules_per_image
from bench.records.record import Build, Export, Inference, Memory, Record, Training
from bench.records.store import latest, read

if TYPE_CHECKING:
    import pandas

Value = str | int | float | bool | None


def frame(path: Path) -> "pandas.DataFrame":
    """Return a DataFrame of the records in a folder or a file; raise `UsageError` where there are none."""
    try:
        import pandas
    except ImportError:
        raise UsageError("bench.load needs pandas: pip install 'imagebench[report]'") from None
    records = latest(read(path))
    if not records:
        raise UsageError(f"{path}: no results; measure something first: bench run --matrix smoke")
    return pandas.DataFrame([row(record) for record in records])


def row(record: Record) -> dict[str, Value]:
    """Return one record as columns; what was not measured is None."""
    cell = record.cell
    return {
        "cell": cell.id,
        "architecture": cell.architecture,
        "framework": cell.framework,
        "precision": cell.precision,
        "execution": cell.execution,
        "device": cell.device,
        "batch_size": record.batch_size,
        "image_size": cell.image_size,
        "dataset": cell.dataset,
        "weights": cell.weights,
        "recipe": cell.recipe,
        "measurement": record.measurement,
        "side": record.side,
        "process": record.process,
        "status": record.status,
        "reason": record.reason,
        "run": record.run,
        "wall_seconds": record.wall_seconds,
        **figures(record),
        "gross_joules_per_image": joules_per_image(record, "gross"),
        "net_joules_per_image": joules_per_image(record, "net"),
        "energy_method": energy_method(record),
    }


def figures(record: Record) -> dict[str, Value]:
    """Return the figures of one record under names with their units; empty where the record has none."""
    match record.figures:
        case Build() as build:
            return {
                "parameters": build.parameters,
                "flops_per_image": build.flops_per_image,
                "build_seconds": build.build_seconds,
            }
        case Training() as training:
            return _training(training, record)
        case Accuracy() as accuracy:
            return _accuracy(accuracy)
        case MultiLabelAccuracy() as accuracy:
            return _several_labels(accuracy)
        case Inference() as inference:
            return {
                "inference_images_per_second": inference.resident.images_per_second(_batch(record)),
                "inference_first_batch_seconds": inference.first_batch_seconds,
                "inference_compile_seconds": inference.compile_seconds,
                **_percentiles("latency", inference.latency_seconds),
            }
        case Memory() as memory:
            return {
                "inference_peak_allocated_bytes": memory.inference.allocated_bytes,
                "inference_peak_reserved_bytes": memory.inference.reserved_bytes,
                "inference_peak_resident_bytes": memory.inference.resident_bytes,
                "inference_device_bytes": memory.inference.device_bytes,
                "training_peak_allocated_bytes": memory.training.allocated_bytes,
                "training_peak_reserved_bytes": memory.training.reserved_bytes,
                "training_peak_resident_bytes": memory.training.resident_bytes,
                "training_device_bytes": memory.training.device_bytes,
            }
        case Export() as export:
            return {
                "export_seconds": export.export_seconds,
                "artifact_bytes": export.artifact_bytes,
                "load_seconds": export.main.load_seconds,
                "first_inference_seconds": export.main.first_inference_seconds,
                "maximum_absolute_error": export.maximum_absolute_error,
                "maximum_relative_error": export.maximum_relative_error,
                "maximum_centred_error": export.maximum_centred_error,
                "top1_agreement": export.top1_agreement,
                "source_top1": export.source_top1,
                "artifact_top1": export.test_top1,
                "runtime_peak_resident_bytes": export.main.peak_resident_bytes,
                **_percentiles("export_latency", export.latency_seconds),
            }
    return {}


def _batch(record: Record) -> int:
    assert record.batch_size is not None, "a record with figures ran at some batch size"
    return record.batch_size


def _training(training: Training, record: Record) -> dict[str, Value]:
    loader = training.loader
    return {
        "training_images_per_second": training.resident.images_per_second(_batch(record)),
        "training_loader_images_per_second": loader.steps * _batch(record) / loader.total_seconds,
        "data_wait_share": loader.wait_seconds / loader.total_seconds,
        "training_first_step_seconds": training.first_step_seconds,
        "training_compile_seconds": training.compile_seconds,
        "training_skipped_steps": training.skipped_steps,
    }


def _accuracy(accuracy: Accuracy) -> dict[str, Value]:
    return {"test_top1": accuracy.test_top1, "test_top5": accuracy.test_top5, **_fitted(accuracy)}


def _several_labels(accuracy: MultiLabelAccuracy) -> dict[str, Value]:
    scores = {"at_half": accuracy.test_at_half, "at_chosen": accuracy.test_at_chosen}
    names = ("macro_f1", "micro_f1", "subset_accuracy", "hamming_loss")
    return {
        **{f"test_{name}_{where}": getattr(of, name) for where, of in scores.items() for name in names},
        "test_mean_average_precision": accuracy.test_mean_average_precision,
        **_fitted(accuracy),
    }


def _fitted(accuracy: Accuracy | MultiLabelAccuracy) -> dict[str, Value]:
    return {
        "best_epoch": accuracy.best_epoch,
        "seconds_per_epoch": accuracy.epochs[-1].elapsed_seconds / len(accuracy.epochs),
        "seconds_to_best_epoch": accuracy.epochs[accuracy.best_epoch - 1].elapsed_seconds,
        "validation_score": accuracy.epochs[accuracy.best_epoch - 1].validation_score,
        "test_images": accuracy.test_images,
    }


def _percentiles(name: str, samples: tuple[float, ...]) -> dict[str, Value]:
    return {
        f"{name}_p50_seconds": percentile(samples, 0.5),
        f"{name}_p90_seconds": percentile(samples, 0.9),
        f"{name}_p99_seconds": percentile(samples, 0.99),
    }
