"""Run the commands of docs/learning.md in an empty folder, and write what they print below each.

Every ```console block holds commands, each after "$ "; what stands below them is replaced. Ends with the status of the first
command that fails. Run by `make learn`.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
# A training prints a line an epoch; so many from its beginning and its end say enough.
_FIRST, _LAST = 3, 3


def commands(text: str) -> list[str]:
    """Return every command of a page, in order."""
    return [line[2:] for block in BLOCK.findall(text) for line in block.splitlines() if line.startswith("$ ")]


def shortened(output: str) -> str:
    """Return the first and the last lines of an output, and how many were left out between them."""
    lines = output.strip().splitlines()
    left_out = len(lines) - _FIRST - _LAST
    if left_out <= 1 or any(line.startswith("| ") for line in lines):
        return "\n".join(lines)
    return "\n".join([*lines[:_FIRST], f"… {left_out} lines more", *lines[-_LAST:]])


def run(command: str, folder: Path) -> str:
    """Run one `bench` command in a folder and return what it printed; exit where it fails."""
    arguments = [sys.executable, "-m", "bench", *shlex.split(command)[1:]]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    print(f"$ {command}\n{done.stdout}", flush=True)
    if done.returncode:
        sys.exit(done.returncode)
    return shortened(done.stdout)


def main(page: Path) -> None:
    """Rewrite a page with what its commands print now."""
    with tempfile.TemporaryDirectory() as folder:

        def replaced(found: re.Match[str]) -> str:
            said = [f"$ {command}\n{run(command, Path(folder))}\n" for command in commands(found[0])]
            return f"```console\n{''.join(said)}```"

        page.write_text(BLOCK.sub(replaced, page.read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
