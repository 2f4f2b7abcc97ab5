"""The README's sections: one a run, between two markers, generated and checked."""

import difflib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.errors import UsageError
from bench.records.environment import Environment
from bench.records.record import Record
from bench.report.table import Table, markdown
from bench.report.tables import tables

BEGIN = "<!-- bench report: begin (generated from results/, do not edit) -->"
END = "<!-- bench report: end -->"
MOST_ROWS = 100  # Of a table on a page; longer ones are for a terminal.


def heading(records: Sequence[Record]) -> str:
    """Return what stands above the tables of one run: its name; each machine with its software and what measured there."""
    places: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        places[machine(record.environment), _software(record.environment)].append(record)
    said = [text for (where, software), own in places.items() for text in (where, f"{software} {_commands(own)}")]
    return "\n\n".join([f"### {records[0].run}", *said])


def by_run(records: Sequence[Record]) -> list[list[Record]]:
    """Return the records of each run, in the order of their names."""
    runs: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        runs[record.run].append(record)
    return [runs[name] for name in sorted(runs)]


def sections(records: Sequence[Record]) -> str:
    """Return the Markdown of every run in the records: its heading and its tables, of the longest only where they are."""
    return "\n\n".join(
        f"{heading(own)}\n\n{markdown(*(_short(table, own[0].run) for table in tables(own)))}"
        for own in by_run(records)
    )


def _short(table: Table, run: str) -> Table:
    if len(table.rows) <= MOST_ROWS:
        return table
    told = f"{len(table.rows)} rows, too many for this page: `bench show results/{run}.jsonl` prints them."
    return msgspec.structs.replace(table, columns=(), rows=(), notes=(told,))


def machine(environment: Environment) -> str:
    """Return one sentence on the machine."""
    gpus = ", ".join(
        f"{gpu.name}" + (f" (limit {gpu.power_limit_watts:.0f} W)" if gpu.power_limit_watts else "")
        for gpu in environment.gpus
    )
    extensions = f" with {', '.join(environment.cpu_extensions)}" if environment.cpu_extensions else ""
    cores = f"{environment.cpu}{extensions}; {environment.cpu_cores_physical} cores"
    memory = f"{environment.memory_bytes / 2**30:.0f} GiB of memory"
    driver = f" Driver {environment.driver}, CUDA {environment.cuda}." if environment.gpus else ""
    return f"Machine: {cores}, {memory}; GPU: {gpus or 'none'}.{driver} {environment.system}."


def _software(environment: Environment) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    return f"Software: Python {environment.python}, {packages}."


def _commands(records: Sequence[Record]) -> str:
    """Return one sentence that names every command behind some records, with its commit and the first day."""
    days: dict[str, list[str]] = defaultdict(list)
    for record in records:
        environment = record.environment
        commit = (environment.commit or "unknown")[:12] + (" with changes" if environment.dirty else "")
        days[f"by `{environment.command}` at commit {commit}"].append(record.finished[:10])
    return f"Measured {'; '.join(f'{min(own)} {command}' for command, own in days.items())}."


def write(readme: Path, records: Sequence[Record]) -> bool:
    """Put the sections between the markers of a README; return whether anything changed."""
    old = _read(readme)
    new = _replaced(readme, old, records)
    if new != old:
        readme.write_text(new, encoding="utf-8")
    return new != old


def difference(readme: Path, records: Sequence[Record]) -> str:
    """Return the unified diff from the README to what the records say; empty when they agree."""
    old = _read(readme)
    new = _replaced(readme, old, records)
    return "".join(
        difflib.unified_diff(
            old.splitlines(keepends=True), new.splitlines(keepends=True), str(readme), "what the results say", n=1
        )
    )


def _read(readme: Path) -> str:
    try:
        return readme.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{readme}: {error.strerror}") from None


def _replaced(readme: Path, text: str, records: Sequence[Record]) -> str:
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UsageError(f"{readme}: put the tables' place into it, these two lines:\n{BEGIN}\n{END}")
    return f"{before}{BEGIN}\n\n{sections(records)}\n\n{END}{after}"
