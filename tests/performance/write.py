"""Write docs/performance.md from what pytest-benchmark kept: `write.py SPEED.json PAGE.md`."""

import json
import sys
from pathlib import Path

from bench.records.environment import environment
from bench.report.readme import machine
from bench.report.table import Table, markdown


def page(file: Path) -> str:
    """Return the page as Markdown."""
    told = [entry["extra_info"] for entry in json.loads(file.read_text())["benchmarks"]]
    table = Table(
        title="`make benchmark`",
        columns=("What", "Figure", "Must be within", "Beside it"),
        labels=4,
        rows=tuple((info["what"], info["figure"], info["limit"], info.get("compared", "")) for info in told),
    )
    return "\n".join(
        [
            "# How fast bench itself is",
            "",
            "Written by `make benchmark` from tests/performance/, which fails outside the limits. Medians.",
            "A figure with an interval in brackets fails only with all of it outside; that does not show it inside.",
            machine(environment()),
            "",
            markdown(table),
            "",
        ]
    )


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(page(Path(sys.argv[1])), encoding="utf-8")
