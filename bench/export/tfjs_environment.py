"""TensorFlow.js's own environment: its converter cannot live beside today's TensorFlow, and its runtime comes from npm.

Made once under the cache directory, whole or not at all, and used again.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from bench.errors import Unavailable
from bench.export.format import Tell

_VERSION = "4.22.0"
# tensorflowjs brings the TensorFlow it was made for; without the pins on the other two it does not import.
_CONVERTER = (f"tensorflowjs=={_VERSION}", "ydf==0.11.0", "setuptools<81")
_RUNTIME = (f"@tensorflow/tfjs@{_VERSION}", f"@tensorflow/tfjs-backend-wasm@{_VERSION}")
_NPM_REASON = re.compile(r"npm (?:error|ERR!) (?!code |syscall |errno |path |dest )(.+)")
_PINS = hashlib.sha256(" ".join(_CONVERTER + _RUNTIME).encode()).hexdigest()[:8]
LIMIT_SECONDS = 3600.0  # Of each step; the longest fetches gigabytes.


def place() -> Path:
    """Return the folder of the environment, made or not, below $BENCH_ENVIRONMENTS or ~/.cache/imagebench/environments."""
    said = os.environ.get("BENCH_ENVIRONMENTS")
    root = Path(said).expanduser() if said else Path.home() / ".cache" / "imagebench" / "environments"
    return root / f"tfjs-{_VERSION}-{_PINS}-python{sys.version_info.major}.{sys.version_info.minor}"


def python() -> Path:
    """Return the interpreter that has the converter."""
    return place() / "venv" / "bin" / "python"


def modules() -> Path:
    """Return the folder of the packages of npm."""
    return place() / "node_modules"


def needs() -> None:
    """Raise `Unavailable` where the environment has not been made, or what makes and runs it is missing."""
    _find("node")
    if not _is_whole():
        _find("npm")
        raise Unavailable(f"TensorFlow.js's environment is not there: {place()}; bench run and bench export make it")


def prepare(tell: Tell) -> None:
    """Make the environment if it is not there, and tell how far it is; raise `Unavailable` with what stopped it."""
    _find("node")
    if _is_whole():
        return
    _find("npm")
    try:
        _prepare(tell)
    except OSError as error:
        raise Unavailable(f"TensorFlow.js's environment could not be made: {error}") from None


def _is_whole() -> bool:
    """Return whether the environment is there, and the Python that it was made of."""
    return python().exists() and modules().exists()


def _prepare(tell: Tell) -> None:
    place().parent.mkdir(parents=True, exist_ok=True)
    with place().with_name(f"{place().name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"TensorFlow.js: waiting for another run that makes {place()}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_whole():
            return
        beside = place().with_name(f"{place().name}.part")
        for folder in (place(), beside):  # An environment whose Python was removed does not run.
            shutil.rmtree(folder, ignore_errors=True)
        try:
            _make(beside, tell)
            beside.rename(place())
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _make(folder: Path, tell: Tell) -> None:
    tell(f"TensorFlow.js, once, into {place()}: an environment for its converter, about 3 GB")
    interpreter = folder / "venv" / "bin" / "python"
    _run("a virtual environment", tell, sys.executable, "-m", "venv", str(folder / "venv"))
    if importlib.util.find_spec("uv") is not None:
        _run("pip", tell, sys.executable, "-m", "uv", "pip", "install", "--python", str(interpreter), *_CONVERTER)
    else:
        _run("pip", tell, str(interpreter), "-m", "pip", "install", "--disable-pip-version-check", *_CONVERTER)
    _install_runtime(folder, tell)


def _install_runtime(folder: Path, tell: Tell) -> None:
    tell("TensorFlow.js: its runtime, from npm")
    _run(
        "npm", tell, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), *_RUNTIME
    )


def _run(what: str, tell: Tell, *command: str) -> None:
    """Run a command and tell what it says meanwhile; raise `Unavailable` with the line that says why where it fails."""
    lines: list[str] = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        limit = threading.Timer(LIMIT_SECONDS, process.kill)
        limit.start()
        try:
            assert process.stdout is not None, "it is a pipe"
            for line in filter(None, map(str.strip, process.stdout)):
                lines.append(line)
                tell(line)
            process.wait()
        finally:
            limit.cancel()
            process.kill()
    if process.returncode == -signal.SIGKILL:
        lines.append(f"nothing more, and was killed after {LIMIT_SECONDS:g} s")
    if process.returncode:
        raise Unavailable(f"TensorFlow.js's environment could not be made, {what} said: {_why(lines)}")


def _why(lines: Sequence[str]) -> str:
    """Return the line that says why a command failed: the last, but npm's first that is no code; its last names a log."""
    of_npm = filter(None, map(_NPM_REASON.match, lines))
    return next((found[1] for found in of_npm), lines[-1] if lines else "no word")


def _find(program: str) -> None:
    if shutil.which(program) is None:
        raise Unavailable(
            f"TensorFlow.js needs Node.js, and there is no {program} on the path: apt-get install nodejs npm"
        )
