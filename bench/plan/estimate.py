"""Estimates: how long a job will take, roughly, before anything is known of the machine."""

from bench.plan.cards import dataset_card, model_card, own_images
from bench.plan.cell import Job

# Rough on purpose; a run corrects them by what its own jobs took.
_FLOPS_PER_SECOND = {"cpu": 5e10, "cuda": 2e13}
_MULTIPLY_ACCUMULATES = 1e9
_TRAINING_IMAGES = 1000
_START_SECONDS = 1.0
_COMPILE_SECONDS = 20.0
_EXPORT_SECONDS = 10.0


def estimate_seconds(job: Job) -> float:
    """Return a rough guess: fixed costs, the protocol's own lengths, and operations over an assumed speed."""
    protocol, cell = job.protocol, job.cell
    batch = cell.batch_size if isinstance(cell.batch_size, int) else 64
    forward = _forward_seconds(job) * batch
    step = 3 * forward
    warmup = protocol.warmup_seconds
    compiling = 0.0 if cell.execution == "eager" else _COMPILE_SECONDS
    match job.measurement:
        case "training":
            blocks = 2 * protocol.blocks * max(protocol.training_block_seconds, step)
            seconds = compiling + max(warmup, protocol.warmup_steps * step) + blocks
        case "inference":
            blocks = protocol.blocks * max(protocol.inference_block_seconds, forward)
            requests = min(protocol.latency_seconds, protocol.latency_requests * _forward_seconds(job))
            seconds = compiling + max(warmup, protocol.warmup_steps * forward) + blocks + requests
        case "accuracy":
            seconds = compiling + job.recipe.epochs * _training_images(cell.dataset) * step / batch
        case "memory" | "batch_size":
            seconds = compiling + 3 * (forward + step)
        case "build":
            seconds = 0.0
        case _:
            seconds = _EXPORT_SECONDS + min(protocol.latency_seconds, protocol.latency_requests * _forward_seconds(job))
    return _START_SECONDS + seconds


def _forward_seconds(job: Job) -> float:
    """Return the assumed seconds of one image's forward pass, at least half a millisecond of overhead."""
    card = model_card(job.cell.architecture)
    published = (card.published and card.published.multiply_accumulates) or _MULTIPLY_ACCUMULATES
    flops = 2 * published * (job.cell.image_size / card.image_size) ** 2
    return max(5e-4, flops / _FLOPS_PER_SECOND[job.cell.device.partition(":")[0]])


def _training_images(dataset: str) -> int:
    own = own_images(dataset)[1] is not None
    return _TRAINING_IMAGES if own else round(0.6 * dataset_card(dataset).images)
