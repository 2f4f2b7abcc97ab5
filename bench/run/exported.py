"""A trained model in other formats, each with its labels and an example beside it."""

import shutil
import tempfile
from pathlib import Path

import msgspec

from bench.data.dataset import Split, spread, subset
from bench.data.read import read_dataset
from bench.data.readable import readable_split
from bench.export.find import find_made_from
from bench.export.format import Tell
from bench.export.gate import Agreement
from bench.export.make import CALIBRATION_IMAGES, Made, make, whole
from bench.export.measure import compare, write_pixels
from bench.export.tfjs import place_modules
from bench.frameworks import FRAMEWORKS, source_kind
from bench.frameworks.trial import Trial
from bench.plan.files import PACKAGE
from bench.records.environment import physical_cores
from bench.records.trained import Trained
from bench.run.predict import open_trained

COMPARED_IMAGES = 256
_BATCH = 16  # A format for any batch is held against the model at this size, and at single images.
_LIMIT_SECONDS = 1800.0  # For an artifact's answers; whole minutes are slow.
_EXAMPLES = PACKAGE / "export" / "examples"


def export(folder: Path, trained: Trained, name: str, tell: Tell) -> tuple[Made, Agreement]:
    """Export to one format below the folder, in exports/FORMAT, whose old contents stay where that fails or disagrees.

    `tell` gets how an environment is made, and which images cannot be decoded and are left out.
    """
    # Its weights are kept in 32 bits, whatever it was trained in.
    cell = msgspec.structs.replace(trained.cell, precision="fp32", execution="eager")
    trained = msgspec.structs.replace(trained, cell=cell)
    chosen = find_made_from(name, source_kind(cell.framework))
    chosen.prepare(tell)
    trial = open_trained(folder, trained, "cpu")
    dataset = read_dataset(cell.dataset, cell.image_size)

    def some(part: str, split: Split, count: int) -> Split:
        return readable_split(part, subset(split, spread(split, count)), lambda said: tell(f"left out: {said}"))

    compared = some("test", dataset.test, COMPARED_IMAGES)
    with whole(folder / "exports" / name) as place, tempfile.TemporaryDirectory() as beside:
        shown = some("training", dataset.training, CALIBRATION_IMAGES)
        made = make(name, trial.source(), shown, trial, place, (1,) if chosen.static else (1, _BATCH))
        pixels = write_pixels(trial, compared, Path(beside, "pixels.npy"))
        expected = trial.logits(compared)
        found = compare(made, pixels, expected, physical_cores(), dataset.several_labels, limit_seconds=_LIMIT_SECONDS)
        _write_beside(made, trained, trial, place)
    return made, found.agreement


def _write_beside(made: Made, trained: Trained, trial: Trial, folder: Path) -> None:
    """Put beside an artifact its labels, the facts about its pictures, and an example that runs it."""
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in trained.classes))
    pixels = trial.pixels()
    facts = {
        "labels": trained.classes,
        "image_size": trained.cell.image_size,
        "mean": pixels.mean,
        "std": pixels.std,
        "order": pixels.order,
        "channels_first": FRAMEWORKS[trained.cell.framework].channels_first,
        "thresholds": (trained.thresholds or (0.5,) * len(trained.classes)) if trained.recipe.several_labels else None,
    }
    (folder / "picture.json").write_bytes(msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n")
    example = made.chosen.example
    if example.endswith(".html"):
        shutil.copy(_EXAMPLES / example, folder / "index.html")
        place_modules(folder / "tfjs")
    else:
        shutil.copy(_EXAMPLES / example, folder / "example.py")
        shutil.copy(_EXAMPLES / "picture.py", folder)
