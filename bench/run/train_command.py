"""`bench train` and `bench predict`, from the command line and from Python: options become one training, or one question.

Nothing here imports a framework, or NumPy, before the framework's environment is set.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from bench.errors import JobError, OutOfMemory, Undecodable, UsageError, unknown
from bench.frameworks import FRAMEWORKS, library, use
from bench.plan.cards import dataset_card, dataset_names, model_card
from bench.plan.cell import Cell, Execution
from bench.plan.matrix import Grid, check, expand
from bench.plan.recipe import Recipe, recipe_for
from bench.plan.refusal import refusal
from bench.run.export_command import check_names, export_all

if TYPE_CHECKING:
    from bench.records.trained import Metrics
    from bench.run.predict import Answer


_SMALLER = (
    "out of memory; a smaller --batch-size with as many more accumulation_steps in the recipe trains the same but for batch "
    "normalisation; --precision amp-bf16 and a smaller --image-size take less too, and train another model"
)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. None leaves the framework to the first that has the architecture, the image size to the data set or
    else the architecture, and the epochs to the recipe.
    """

    architecture: str
    framework: str | None = None
    dataset: str = "digits"
    recipe: str = "baseline"
    out: Path = Path("trained")
    weights: str = "random"
    precision: str = "fp32"
    execution: str = "eager"
    batch_size: int = 64
    image_size: int | None = None
    epochs: int | None = None
    device: str = "auto"
    seed: int = 0
    resume: bool = False
    skip_unreadable: bool = False
    formats: tuple[str, ...] = ()


def run(options: Options) -> "Metrics":
    """Train, leave the folder complete, and export what was asked for; raise `UsageError` before anything is trained."""
    check_names(options.formats)
    framework = _framework(options)
    use(framework)
    cell = _cell(options, framework)
    from bench.run.train import Asked, train
    from bench.run.training_progress import TrainingProgress
    from bench.run.worker import status

    asked = Asked(
        cell=cell,
        recipe=_recipe(options),
        seed=options.seed,
        out=options.out,
        resume=options.resume,
        skip_unreadable=options.skip_unreadable,
        formats=options.formats,
    )
    with TrainingProgress() as progress:
        try:
            metrics = train(asked, progress)
            export_all(options.out, options.formats, progress.tell)
        except Undecodable as error:
            raise JobError(f"{error}; --skip-unreadable leaves such images out, bench inspect names them all") from None
        except Exception as error:
            if status(framework, error) == "out_of_memory" and not isinstance(error, JobError):
                raise OutOfMemory(f"{_SMALLER} ({str(error).strip().partition(chr(10))[0]})") from None
            raise
    return metrics


def _recipe(options: Options) -> Recipe:
    """Return the recipe, with the epochs that were asked for; raise `UsageError` where it cannot have so many."""
    said = recipe_for(options.recipe, options.architecture)
    if options.epochs is None:
        return said
    try:
        return msgspec.structs.replace(said, epochs=options.epochs)
    except ValueError as error:
        raise UsageError(
            f"--epochs {options.epochs}: {error}, and recipe {options.recipe} has {said.warmup_epochs:g}"
        ) from None


def _framework(options: Options) -> str:
    """Return the framework that was named, or the first that has the architecture; raise `UsageError` where none has."""
    named = options.framework or options.architecture.partition("/")[0]
    if options.framework is not None or "/" in options.architecture:
        if named not in FRAMEWORKS:
            raise unknown("framework", named, FRAMEWORKS)
        return named
    having = model_card(options.architecture).frameworks
    return next(name for name in FRAMEWORKS if library(name) in having)


def _cell(options: Options, framework: str) -> Cell:
    """Return the cell that the options name; raise `UsageError` for a name that does not exist, or what cannot run here."""
    from bench.run.command import resolve_device

    grid = Grid(
        measurements=("accuracy",),
        architectures=(options.architecture,),
        frameworks=(framework,),
        precisions=(options.precision,),
        executions=(cast(Execution, options.execution),),
        batch_sizes=(options.batch_size,),
        image_sizes=(options.image_size or _side(options.dataset) or "native",),
        datasets=(options.dataset,),
        weights=(options.weights,),
        recipes=(options.recipe,),
    )
    check(grid)
    planned = expand((grid,), resolve_device(options.device))
    if not planned:
        raise UsageError(f"{options.architecture} is no model of {framework}")
    found = refusal(planned[0].cell)
    if found:
        raise UsageError(found[1])
    return planned[0].cell


def summary(metrics: "Metrics", out: Path) -> str:
    """Return what a person wants to know first of a training that has ended."""
    from bench.records.accuracy import Accuracy

    figures = metrics.figures
    epoch = f"epoch {figures.best_epoch} of {len(figures.epochs)}, chosen on validation"
    if isinstance(figures, Accuracy):
        said = f"top-1 {figures.test_top1:.1%} on the test split of {figures.test_images} images"
    else:
        half, chosen = figures.test_at_half, figures.test_at_chosen
        said = (
            f"macro F1 {chosen.macro_f1:.3f} on the test split of {figures.test_images} images with thresholds chosen on "
            f"validation, {half.macro_f1:.3f} at one half; mean average precision {figures.test_mean_average_precision:.3f}"
        )
    return f"{said} ({epoch}). In {out}; ask it with bench predict {out} PICTURE…"


def _side(dataset: str) -> int | None:
    """Return the side in pixels that a data set's card recommends."""
    return dataset_card(dataset).image_size if dataset in dataset_names() else None


def _pictures(place: Path) -> list[Path]:
    """Return a file, or the pictures below a folder; raise `UsageError` where there are none."""
    from bench.data.parts import SUFFIXES

    if not place.is_dir():
        return [place]
    found = sorted(file for file in place.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not found:
        raise UsageError(f"{place}: holds no picture ({', '.join(sorted(SUFFIXES))})")
    return found


def answers(folder: Path, images: Iterable[Path], device: str) -> "Iterator[Answer | JobError]":
    """Yield what a trained model says of each picture, and of those below each folder, or why one cannot be decoded."""
    from bench.records.trained import MODEL, Trained, read_json
    from bench.run.command import resolve_device

    trained = read_json(folder / MODEL, Trained)
    files = [file for place in images for file in _pictures(place)]
    use(trained.cell.framework)
    from bench.run.predict import open_trained, predict

    trial = open_trained(folder, trained, resolve_device(device))
    yield from predict(trial, trained, files)
