"""`bench download`: brings a data set onto the machine and says how far it is."""

import contextlib
import sys
from collections.abc import Iterator

from bench.data.cache import missing
from bench.data.download import Progress, download
from bench.plan.cards import dataset_card, own_images


def fetch(name: str) -> str:
    """Download what is missing of a data set and return one line that says where it lies; errors as `download` has them."""
    path = own_images(name)[1]
    if path is not None:
        return f"{name}: images of your own; nothing to download"
    card = dataset_card(name)
    if not card.files:
        return f"{name}: comes with the installation"
    lacking = missing(name, card)
    with _shown() as progress:
        folder = download(name, card, progress)
    return f"{name}: {'in' if lacking else 'already in'} {folder}"


@contextlib.contextmanager
def _shown() -> Iterator[Progress]:
    """Yield a progress that draws a bar on a terminal, and elsewhere prints one line a file."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        tasks = {}

        def progress(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield progress


def _lines() -> Progress:
    begun: set[str] = set()

    def progress(name: str, done: int, total: int | None) -> None:
        if name not in begun:
            begun.add(name)
            print(f"{name}: {f'{total / 1e6:,.1f} MB' if total else 'of unknown size'}", file=sys.stderr, flush=True)

    return progress
