"""A trained model in other formats, each with its labels and an example beside it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from bench.data.dataset import Split, spread, subset
from bench.data.read import read_dataset
from bench.data.readable import readable_split
from bench.errors import JobError, reason
from bench.export.find import find_made_from
from bench.export.gate import Agreement
from bench.export.make import CALIBRATION_IMAGES, Made, make, whole
from bench.export.measure import compare, write_pixels
from bench.export.tfjs import place_modules
from bench.frameworks import FRAMEWORKS
from bench.frameworks.trial import Trial
from bench.plan.files import PACKAGE
from bench.records.environment import physical_cores
from bench.records.trained import MODEL, Trained, read_json

COMPARED_IMAGES = 256
_BATCH = 16  # A format for any batch is held against the model at this size, and at single images.
_LIMIT_SECONDS = 1800.0  # For an artifact's answers; whole minutes are slow.
_EXAMPLES = PACKAGE / "export" / "examples"


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """One format's outcome: what was made and how it agrees with its source, or the reason why there is none."""

    format: str
    artifact: Path | None = None
    made: Made | None = None
    agreement: Agreement | None = None
    reason: str | None = None

    @property
    def described(self) -> str:
        """The outcome in one line."""
        if self.made is None or self.agreement is None:
            return f"{self.format}: {self.reason}"
        return (
            f"{self.format}: {self.artifact}, {self.made.artifact_bytes / 2**20:.1f} MiB in "
            f"{self.made.export_seconds:.1f} s; of {self.agreement.images} images it decides the same for "
            f"{self.agreement.decisions:.1%}, largest error {self.agreement.relative:.0e} of the largest logit"
        )


def export(
    folder: Path, trained: Trained, trial: Trial, formats: Sequence[str], tell: Callable[[str], None]
) -> Iterator[Exported]:
    """Export a trained model to each format, below its folder in exports/FORMAT, and say how each went.

    What disagrees with the model, or fails, leaves what was there before. Images that cannot be decoded are left out and told.
    """
    dataset = read_dataset(trained.cell.dataset, trained.cell.image_size)

    def some(part: str, split: Split, count: int) -> Split:
        return readable_split(part, subset(split, spread(split, count)), lambda said: tell(f"left out: {said}"))

    shown = some("training", dataset.training, CALIBRATION_IMAGES)
    compared = some("test", dataset.test, COMPARED_IMAGES)
    expected = trial.logits(compared)
    for name in formats:
        try:
            source = trial.source()
            chosen = find_made_from(name, source.kind)
            chosen.prepare(tell)
            with whole(folder / "exports" / name) as place, tempfile.TemporaryDirectory() as beside:
                made = make(name, source, shown, trial, place, (1,) if chosen.static else (1, _BATCH))
                pixels = write_pixels(trial, compared, Path(beside, "pixels.npy"))
                found = compare(
                    made, pixels, expected, physical_cores(), dataset.several_labels, limit_seconds=_LIMIT_SECONDS
                )
                _write_beside(made, trained, trial, place)
            artifact = folder / "exports" / name / made.artifacts[1].name
            yield Exported(format=name, artifact=artifact, made=made, agreement=found.agreement)
        except Exception as error:  # A converter raises anything; the next format may well succeed.
            yield Exported(format=name, reason=reason(error))


def export_all(folder: Path, trial: Trial, formats: Sequence[str], tell: Callable[[str], None]) -> None:
    """Export what a training has left in a folder, telling how each format went; raise `JobError` once all are tried."""
    failed = []
    for exported in export(folder, read_json(folder / MODEL, Trained), trial, formats, tell):
        tell(exported.described)
        failed += [exported.format] if exported.reason else []
    if failed:
        raise JobError(f"the model is trained and lies in {folder}, but was not exported to {', '.join(failed)}")


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
    if example is None:
        return
    if example.endswith(".html"):
        shutil.copy(_EXAMPLES / example, folder / "index.html")
        place_modules(folder / "tfjs")
    else:
        shutil.copy(_EXAMPLES / example, folder / "example.py")
        shutil.copy(_EXAMPLES / "picture.py", folder)
