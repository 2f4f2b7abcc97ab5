"""One model for use, in place of figures of many: train and predict."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.interruption import INTERRUPTED, signals_interrupt
from bench.errors import JobError, UsageError


def train(
    architecture: Annotated[str, typer.Argument(metavar="ARCHITECTURE", help="a card's name, or FRAMEWORK/NAME")],
    framework: Annotated[
        str | None, typer.Option(help="see bench list frameworks", show_default="the first that has it")
    ] = None,
    dataset: Annotated[str, typer.Option(metavar="NAME", help="a data set, folder:PATH or csv:PATH")] = "digits",
    recipe: Annotated[
        str, typer.Option(metavar="NAME", help="see bench list recipes, or the path of a TOML file")
    ] = "baseline",
    out: Annotated[Path, typer.Option(metavar="DIR", help="the folder that takes the model")] = Path("trained"),
    weights: Annotated[str, typer.Option(help="random, pretrained, or a file")] = "random",
    precision: Annotated[str, typer.Option(help="see bench list precisions")] = "fp32",
    execution: Annotated[str, typer.Option(help="eager, compiled or xla")] = "eager",
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="pixels", show_default="the data set's own, else the architecture's")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="instead of the recipe's; head_epochs come before")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    seed: Annotated[int, typer.Option(help="of the weights and the training")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="go on after the last epoch that was finished")] = False,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="leave out images that cannot be decoded, and name them")
    ] = False,
    export: Annotated[str | None, typer.Option(metavar="LIST", help="formats to export to, comma-separated")] = None,
) -> None:
    """Train one model by a recipe, and leave it in a folder with its curve, its errors and its figures."""
    from bench.run.train_command import Options, run, summary

    options = Options(
        architecture=architecture,
        framework=framework,
        dataset=dataset,
        recipe=recipe,
        out=out,
        weights=weights,
        precision=precision,
        execution=execution,
        batch_size=batch_size,
        image_size=image_size,
        epochs=epochs,
        device=device,
        seed=seed,
        resume=resume,
        skip_unreadable=skip_unreadable,
        formats=_named(export),
    )
    with signals_interrupt():
        try:
            print(summary(run(options), out))
        except KeyboardInterrupt:
            print("\nInterrupted. Go on with the same command and --resume.", flush=True)
            sys.exit(INTERRUPTED)


def predict(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="what bench train left")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES…", help="pictures, or folders of them")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, one line a picture")] = False,
) -> None:
    """Say what a trained model sees in pictures: labels with their probabilities. Exits with 1 where one cannot be decoded."""
    import msgspec

    from bench.run.train_command import answers

    _tell_unfinished(folder)
    failed = False
    for answer in answers(folder, images, device):
        if isinstance(answer, JobError):
            failed = True
            print(f"bench: {answer}", file=sys.stderr, flush=True)
        elif as_json:
            print(msgspec.json.encode(answer).decode(), flush=True)
        else:
            said = (
                ", ".join(f"{label} {share:.1%}" for label, share in answer.labels) or "no label reaches its threshold"
            )
            print(f"{answer.file}: {said}", flush=True)
    if failed:
        sys.exit(1)


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="what bench train left")],
    formats: Annotated[str, typer.Option(metavar="LIST", help="comma-separated; see bench list formats")],
) -> None:
    """Export a trained model to other formats, each with its labels and an example. What happens meanwhile goes to stderr."""
    from bench.run.export_command import run

    _tell_unfinished(folder)
    failed = 0
    with signals_interrupt():
        try:
            for exported in run(folder, _named(formats), lambda said: print(said, file=sys.stderr, flush=True)):
                print(exported.described, flush=True)
                failed += exported.reason is not None
        except KeyboardInterrupt:
            print("\nInterrupted. What was exported before is there.", flush=True)
            sys.exit(INTERRUPTED)
    if failed:
        sys.exit(1)


def _tell_unfinished(folder: Path) -> None:
    from bench.records.trained import METRICS, MODEL

    if (folder / MODEL).exists() and not (folder / METRICS).exists():
        print(
            f"bench: the training in {folder} has not ended: its best weights so far; go on with --resume",
            file=sys.stderr,
        )


def _named(formats: str | None) -> tuple[str, ...]:
    """Return the names in a list, each once; raise `UsageError` for a list of none."""
    if formats is None:
        return ()
    names = tuple(dict.fromkeys(filter(None, map(str.strip, formats.split(",")))))
    if not names:
        raise UsageError("no format is named; bench list formats has them all")
    return names
