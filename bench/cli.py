"""The command line: parses, then calls one function a command."""

import contextlib
import gc
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn, TextIO

import typer

from bench.errors import JobError, UsageError, unknown

if TYPE_CHECKING:
    from bench.records.record import Record

app = typer.Typer(
    name="bench",
    help="Measure image-classification models: architectures × frameworks × precisions, in one table.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Help drawn by rich takes 0.2 s longer.
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
INTERRUPTED = 130

Axis = typer.Option(metavar="LIST", help="narrow the matrix: names or globs, comma-separated")


def main() -> None:
    """Run the command line; a person's mistake is one message and status 2, what cannot be done one and status 1."""
    warnings.showwarning = _warn
    try:
        app()
    except (UsageError, JobError) as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning as one line, without the place in our code that found it."""
    print(f"bench: {message}", file=sys.stderr)


def _version(asked: bool) -> None:
    if asked:
        from bench import __version__

        print(f"imagebench {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="print the version and exit", callback=_version)
    ] = False,
) -> None:
    pass


@app.command()
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
    _exit_with(lambda: measure(options))


@app.command()
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
    epochs: Annotated[int | None, typer.Option(min=1, help="instead of the recipe's")] = None,
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
        formats=tuple(export.split(",")) if export else (),
    )
    with _signals_interrupt():
        try:
            print(summary(run(options), out))
        except KeyboardInterrupt:
            print("\nInterrupted. Go on with the same command and --resume.", flush=True)
            sys.exit(INTERRUPTED)


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="what bench train left")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES…", help="pictures, or folders of them")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, one line a picture")] = False,
) -> None:
    """Say what a trained model sees in pictures: labels with their probabilities."""
    import msgspec

    from bench.run.train_command import answers

    for answer in answers(folder, images, device):
        if as_json:
            print(msgspec.json.encode(answer).decode())
        else:
            said = (
                ", ".join(f"{label} {share:.1%}" for label, share in answer.labels) or "no label reaches its threshold"
            )
            print(f"{answer.file}: {said}")


@app.command()
def report(
    results: Annotated[Path, typer.Option(help="a folder of results, or one file")] = Path("results"),
    readme: Annotated[Path, typer.Option(help="the file with the markers")] = Path("README.md"),
    check: Annotated[bool, typer.Option("--check", help="change nothing; exit 1 with a diff when they differ")] = False,
) -> None:
    """Write the tables of the results into the README, or check that they stand there."""
    from bench.report.readme import difference, write

    records = _records(results)
    if check:
        found = difference(readme, records)
        print(found or f"{readme} says what {results} says", end="" if found else "\n")
        sys.exit(1 if found else 0)
    print(f"{readme}: {'rewritten' if write(readme, records) else 'unchanged'}")


@app.command("show")
def show_(
    results: Annotated[Path, typer.Argument(metavar="[PATH]", help="a folder of results, or one file")] = Path(
        "results"
    ),
) -> None:
    """Print the tables of results once more."""
    from bench.report.readme import by_run, heading
    from bench.report.table import show
    from bench.report.tables import tables

    for records in by_run(_records(results)):
        show(*tables(records), heading=heading(records))


def _records(results: Path) -> "list[Record]":
    """Return the newest record of every job in a file or a folder, of which there must be one."""
    from bench.records.store import latest, read

    records = latest(read(results))
    if not records:
        raise UsageError(f"{results}: no results; measure something first: bench run --matrix smoke")
    return records


@app.command()
def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="results, or a part of them: PATH:precision=fp32,execution=eager")
    ],
    b: Annotated[
        str | None, typer.Argument(metavar="[B]", help="the same; without it A is a run --against, and holds both")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            help="the smallest difference that counts, as a share", show_default="0.05; 0.01 or more in turns"
        ),
    ] = None,
    allow_different: Annotated[
        bool, typer.Option("--allow-different", help="compare although protocol or software differ")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(metavar="slower", help="exit 1 when a row is SLOWER or B has none, or no verdict stands"),
    ] = None,
) -> None:
    """Say row by row whether B is faster than A, slower, the same, or that the evidence does not tell."""
    from bench.records.store import latest, read
    from bench.report import compare as comparing
    from bench.report import comparison
    from bench.report.table import show

    gc.disable()  # It reads, compares and ends: looking for garbage among millions of samples takes a second.
    if fail_on not in (None, "slower"):
        raise UsageError(f"--fail-on {fail_on!r} is none; write --fail-on slower")
    if b is None:
        first, second = comparing.sides(a, latest(read(Path(a))))
    else:
        first, second = (comparing.part(text, latest(read(Path(text.partition(":")[0])))) for text in (a, b))
    found = comparing.compare(first, second, margin)
    if found.differences and not allow_different:
        listed = "\n  ".join(found.differences)
        raise UsageError(f"A and B are unlike; --allow-different compares them all the same:\n  {listed}")
    if as_json:
        print(comparison.as_json(found))
    else:
        show(comparison.table(found))
    if not found.stands:
        print("bench: the control differs from itself, so no verdict of this run stands", file=sys.stderr)
    sys.exit(1 if fail_on and (comparing.slower(found) or not found.stands) else 0)


@app.command()
def lint(
    results: Annotated[Path, typer.Argument(help="a folder of results, or one file")] = Path("results"),
    flags: Annotated[bool, typer.Option("--flags", help="say of every flag what was seen; it is no finding")] = False,
) -> None:
    """Look for what cannot be, or cannot be believed, in results; exit 1 where something is found."""
    from bench.records.store import IncompleteRecord
    from bench.report.format import counted
    from bench.report.lint import flags_table, table
    from bench.report.lint import lint as findings
    from bench.report.table import show

    with warnings.catch_warnings(record=True, action="always", category=IncompleteRecord) as incomplete:
        records = _records(results)
    found = findings(records)
    if flags:
        show(flags_table(records))
    if found:
        show(table(found))
    for warning in incomplete:
        print(warning.message)
    total = len(found) + len(incomplete)
    print(f"{counted(len(records), 'record')}, {counted(total, 'finding')}")
    sys.exit(1 if total else 0)


@app.command("list")
def list_(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="models, datasets, frameworks, precisions, recipes, matrices …")
    ],
) -> None:
    """List what can be named: models, datasets, frameworks, precisions, recipes, matrices, protocols."""
    from bench.report.listing import LISTINGS
    from bench.report.table import show

    if kind not in LISTINGS:
        raise unknown("list", kind, LISTINGS)
    show(LISTINGS[kind]())


@app.command()
def download(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="a name that bench list datasets shows")],
) -> None:
    """Bring a data set onto this machine: its files, resumed where cut, checked and unpacked. $BENCH_DATA says where to."""
    from bench.data.command import fetch

    with _signals_interrupt():
        try:
            print(fetch(dataset))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


@app.command()
def inspect(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="a data set, folder:PATH or csv:PATH")],
    image_size: Annotated[int, typer.Option(min=1, help="pixels; the hashes of drawn images depend on it")] = 64,
    samples: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write a dozen images of the test split there, as PNG files")
    ] = None,
) -> None:
    """Look at every label and image of a data set; exit 1 where something is wrong."""
    from bench.data.inspect import inspect as look
    from bench.data.read import read_dataset
    from bench.plan.cards import check_dataset
    from bench.report.inspection import lines, tables
    from bench.report.table import show

    check_dataset(dataset)
    data = read_dataset(dataset, image_size)
    found = look(data)
    for table in tables(dataset, found):
        show(table)
    print("\n".join(lines(found)))
    if samples is not None:
        from bench.data.samples import write_samples

        print(f"{len(write_samples(data, samples, 12))} images in {samples}")
    sys.exit(1 if found.faults else 0)


@app.command()
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

        _exit_with(examining.parity if parity else lambda: examining.ceilings(device or "auto"))
    for table in findings():
        show(table)


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


def _exit_with(work: Callable[[], int]) -> NoReturn:
    """Exit with what the work returns, or as interrupted."""
    with _signals_interrupt():
        try:
            sys.exit(work())
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Make a termination or a closed terminal the same clean stop as Ctrl-C, unless nohup asked to be left alone."""

    def interrupt(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, interrupt) for number in wanted}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
