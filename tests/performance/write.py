"""Write one part of docs/performance.md from what pytest-benchmark kept: `write.py PART.json PAGE.md`.

The page has a place for each part, between two markers; the others stay as they were measured.
"""

import json
import re
import sys
from pathlib import Path

from bench.records.environment import environment
from bench.report.readme import machine
from bench.report.table import Table, markdown


def section(part: str, kept: dict[str, object]) -> str:
    """Return a part's table, with when and where its figures were measured."""
    told = [entry["extra_info"] for entry in kept["benchmarks"]]  # type: ignore[attr-defined]
    table = Table(
        title=f"`make benchmark-{part}`",
        columns=("What", "Figure", "Must be within", "Beside it"),
        labels=4,
        rows=tuple((info["what"], info["figure"], info["limit"], info.get("compared", "")) for info in told),
    )
    measured = f"Measured {str(kept['datetime'])[:10]}. {machine(environment())}"
    return f"{measured}\n\n{markdown(table)}"


def main(file: Path, page: Path) -> None:
    """Put a part in its place; exit where the page has none."""
    part = file.stem
    place = re.compile(rf"(<!-- {part} -->\n).*?(\n<!-- /{part} -->)", re.DOTALL)
    text = page.read_text(encoding="utf-8")
    if not place.search(text):
        sys.exit(f"{page}: has no place for {part}: <!-- {part} --> and <!-- /{part} -->")
    said = section(part, json.loads(file.read_text()))
    page.write_text(place.sub(lambda found: f"{found[1]}{said}{found[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
