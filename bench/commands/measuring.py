"""What measures, what can be measured, and with what: run, list and doctor."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.commands.interruption import exit_with
from bench.errors import UsageError, unknown

Axis = typer.Option(metavar="LIST", help="narrow the matrix: names or globs, comma-separated")


def run(
    matrix: Annotated[str, typer.Option(help="see bench list matrices, or the path of a TOML file")] = "smoke",
    architectures: Annotated[str | None, Axis] = None,
    frameworks: Annotated[str | None, Axis] = None,
    precisions: Annotated[str | None, Axis] = None,
    executions: Annotated[str | None, Axis] = None,
    batch_sizes: Annotated[str | None, Axis] = None,
    image_sizes: Annotated[str | None, Axis] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="a data set, folder:PATH or csv:PATH"),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="random, pretrained, or a file"),
    ] = None,
    recipes: Annotated[str | None, Axis] = None,
    measurements: Annotated[str | None, Axis] = None,
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="smoke, quick, standard or rigorous, instead of the matrix's own")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="REF|VENV|FILE",
            help="compare, in turns: with this code at a git ref, with a virtual environment; or with stored results",
        ),
    ] = None,
    allow_different: Annotated[
        bool, typer.Option("--allow-different", help="compare with a FILE although protocol or software differ")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    results: Annotated[Path, typer.Option(help="the folder that takes the results file")] = Path("results"),
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="go on with the newest run of this matrix: what failed or was unavailable runs again, a timeout stands",
        ),
    ] = False,
    time_budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="start nothing that ends later: 90s, 10m, 2h")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print the cells and an estimate, measure nothing")
    ] = False,
    seed: Annotated[int, typer.Option(help="of the order, the weights and the training")] = 0,
    isolation: Annotated[
        str | None,
        typer.Option(
            help="fork: from a server that has imported; spawn: a fresh interpreter",
            show_default="fork; with --against spawn, or the FILE's",
        ),
    ] = None,
) -> None:
    """Measure a matrix, write its results, print its tables."""
    from bench.run.command import Options, dry, measure

    axes = {
        "architectures": architectures,
        "frameworks": frameworks,
        "precisions": precisions,
        "executions": executions,
        "batch_sizes": batch_sizes,
        "image_sizes": image_sizes,
        "datasets": dataset,
        "weights": weights,
        "recipes": recipes,
        "measurements": measurements,
    }
    options = Options(
        matrix=matrix,
        protocol=protocol,
        against=against,
        allow_different=allow_different,
        axes={axis: text for axis, text in axes.items() if text is not None},
        device=device,
        results=results,
        resume=resume,
        time_budget_seconds=None if time_budget is None else _seconds(time_budget),
        seed=seed,
        isolation=_isolation(isolation),
    )
    if dry_run:
        dry(options)
        return
    exit_with(lambda: measure(options))


def _isolation(text: str | None) -> Literal["fork", "spawn"] | None:
    match text:
        case None | "fork" | "spawn":
            return text
    raise unknown("isolation", text, ("fork", "spawn"))


def _seconds(text: str) -> float:
    """Return a time such as 90s, 10m or 2h in seconds; a bare number is seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h|)", text.strip())
    if not found:
        raise UsageError(f"--time-budget {text!r} is no time; write 90s, 10m or 2h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def list_(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help="models, datasets, frameworks, precisions, recipes, matrices, formats …"),
    ],
) -> None:
    """List what can be named: models, datasets, frameworks, precisions, recipes, matrices, protocols, formats."""
    from bench.report.listing import LISTINGS
    from bench.report.table import show

    if kind not in LISTINGS:
        raise unknown("list", kind, LISTINGS)
    show(LISTINGS[kind]())


def doctor(
    parity: Annotated[
        bool, typer.Option("--parity", help="build every architecture in every framework and compare; minutes")
    ] = False,
    ceilings: Annotated[
        bool, typer.Option("--ceilings", help="measure what the device can do at most: products, memory, copies")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="of the ceilings: auto, cpu, cuda, cuda:1 …", show_default="auto")
    ] = None,
) -> None:
    """Say what this machine can measure, and what to install for the rest; or whether the frameworks' networks are the same."""
    from bench.report.doctor import findings
    from bench.report.table import show

    if parity and ceilings:
        raise UsageError("--parity and --ceilings each take minutes; ask for one after the other")
    if device is not None and not ceilings:
        raise UsageError(f"--device is of the ceilings; write bench doctor --ceilings --device {device}")
    if parity or ceilings:
        from bench.run import doctor as examining

        exit_with(examining.parity if parity else lambda: examining.ceilings(device or "auto"))
    for table in findings():
        show(table)
