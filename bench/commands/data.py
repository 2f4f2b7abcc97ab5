"""Images and their labels: download and inspect."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.interruption import INTERRUPTED, signals_interrupt


def download(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="a name that bench list datasets shows")],
) -> None:
    """Bring a data set onto this machine: its files, resumed where cut, checked and unpacked. $BENCH_DATA says where to."""
    from bench.data.command import fetch

    with signals_interrupt():
        try:
            print(fetch(dataset))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


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
