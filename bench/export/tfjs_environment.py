"""TensorFlow.js's own environment: its converter cannot live beside today's TensorFlow, and its runtime comes from npm.

Made once under the cache directory, whole or not at all, and used again.
"""

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.errors import Unavailable
from bench.export.format import Tell

_VERSION = "4.22.0"
# tensorflowjs brings the TensorFlow it was made for; without the pins on the other two it does not import.
_CONVERTER = (f"tensorflowjs=={_VERSION}", "ydf==0.11.0", "setuptools<81")
_RUNTIME = (f"@tensorflow/tfjs@{_VERSION}", f"@tensorflow/tfjs-backend-wasm@{_VERSION}")


def place() -> Path:
    """Return the folder of the environment, made or not, below $BENCH_ENVIRONMENTS or ~/.cache/imagebench/environments."""
    said = os.environ.get("BENCH_ENVIRONMENTS")
    root = Path(said).expanduser() if said else Path.home() / ".cache" / "imagebench" / "environments"
    return root / f"tfjs-{_VERSION}-python{sys.version_info.major}.{sys.version_info.minor}"


def python() -> Path:
    """Return the interpreter that has the converter."""
    return place() / "venv" / "bin" / "python"


def modules() -> Path:
    """Return the folder of the packages of npm."""
    return place() / "node_modules"


def needs() -> None:
    """Raise `Unavailable` where the environment has not been made, or Node.js is missing."""
    _find_node()
    if not place().exists():
        raise Unavailable(f"TensorFlow.js's environment is not there: {place()}; bench run and bench export make it")


def prepare(tell: Tell) -> None:
    """Make the environment if it is not there, and tell how far it is; raise `Unavailable` with what stopped it."""
    _find_node()
    if place().exists():
        return
    try:
        _prepare(tell)
    except OSError as error:
        raise Unavailable(f"TensorFlow.js's environment could not be made: {error}") from None


def _prepare(tell: Tell) -> None:
    place().parent.mkdir(parents=True, exist_ok=True)
    with place().with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Another run may be making it.
        if place().exists():
            return
        beside = place().with_name(f"{place().name}.part")
        shutil.rmtree(beside, ignore_errors=True)
        try:
            _make(beside, tell)
            beside.rename(place())
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _make(folder: Path, tell: Tell) -> None:
    tell(f"TensorFlow.js, once, into {place()}: an environment for its converter, about 2 GB")
    interpreter = folder / "venv" / "bin" / "python"
    _run("a virtual environment", sys.executable, "-m", "venv", str(folder / "venv"))
    if importlib.util.find_spec("uv") is not None:
        _run("pip", sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(interpreter), *_CONVERTER)
    else:
        _run("pip", str(interpreter), "-m", "pip", "install", "--quiet", *_CONVERTER)
    tell("TensorFlow.js: its runtime, from npm")
    _run("npm", "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), *_RUNTIME)


def _run(what: str, *command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()] or ["no word"]
        raise Unavailable(f"TensorFlow.js's environment could not be made, {what} said: {lines[-1].strip()}")


def _find_node() -> None:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise Unavailable(f"TensorFlow.js needs Node.js, and there is no {program} on the path")
