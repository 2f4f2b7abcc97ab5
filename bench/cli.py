"""The command line: the table of commands, and how a mistake and a warning are told."""

import sys
import warnings
from collections.abc import Callable
from typing import Annotated, TextIO

import typer

from bench.commands import data, measuring, results, training
from bench.errors import JobError, UsageError

app = typer.Typer(
    name="bench",
    help="Measure image-classification models: architectures × frameworks × precisions, in one table.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Help drawn by rich takes 0.2 s longer.
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# In the order in which the help shows them.
COMMANDS: dict[str, Callable[..., None]] = {
    "run": measuring.run,
    "train": training.train,
    "predict": training.predict,
    "export": training.export,
    "report": results.report,
    "show": results.show_,
    "compare": results.compare,
    "lint": results.lint,
    "list": measuring.list_,
    "download": data.download,
    "inspect": data.inspect,
    "doctor": measuring.doctor,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


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
