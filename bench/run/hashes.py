"""The hashes of the files behind a job."""

from pathlib import Path

from bench.plan.cards import dataset_hash, model_card_hash
from bench.plan.cell import Job
from bench.plan.files import file_hash
from bench.plan.recipe import recipe_hash
from bench.records.record import Hashes


def hashes(job: Job, matrix: str) -> Hashes:
    """Return them; `matrix` is that of the matrix the job is of."""
    weights = Path(job.cell.weights)
    return Hashes(
        card=model_card_hash(job.cell.architecture),
        recipe=recipe_hash(job.cell.recipe),
        matrix=matrix,
        protocol=job.protocol.hash,
        weights=file_hash(weights) if weights.is_file() else None,
        dataset=dataset_hash(job.cell.dataset),
    )
