"""Every exception that `bench` raises on purpose.

BenchError
├── UsageError      the person can mend it: a name, a key, a file; the command line prints it and exits with 2
└── JobError        one measurement has no figures; its class is the status of the row
    ├── Unsupported     it does not exist: this model in that framework, this precision on that device
    ├── Unavailable     something is missing: the message says what to install or where to put which file
    ├── OutOfMemory     the device or the machine has not enough memory
    ├── Diverged        the loss is not finite or does not fall
    ├── Undecodable     an image cannot be decoded; the message names it
    └── Disagrees       an exported artifact answers differently from its source
"""

import difflib
import re
import signal
from collections.abc import Iterable
from itertools import takewhile
from typing import Literal

# Of a terminal; some libraries print in red whatever takes it.
_COLOURS = re.compile("\x1b\\[[0-9;]*m")
_LONGEST_REASON = 300
_LAST_LINES = 4  # Of a process's last words; some errors have several.
Status = Literal["ok", "unsupported", "unavailable", "out_of_memory", "timeout", "diverged", "failed"]


class BenchError(Exception):
    """The root of what `bench` raises on purpose."""


class UsageError(BenchError):
    """A mistake that the person at the keyboard can mend."""


class JobError(BenchError):
    """A measurement ended without figures; `status` is what its row says."""

    status: Status = "failed"


class Unsupported(JobError):
    status = "unsupported"


class Unavailable(JobError):
    status = "unavailable"


class OutOfMemory(JobError):
    status = "out_of_memory"


class Diverged(JobError):
    status = "diverged"


class Undecodable(JobError):
    """An image that cannot be decoded fails what needs it."""


class Disagrees(JobError):
    """An artifact that answers differently has failed."""


def reason(error: BaseException) -> str:
    """Return in one line why something failed: what we raise as it stands; of any other the line that each error begins with,
    and of what the system refuses its words with the file.

    The innermost cause stands first, which says what stopped a library: those around it often only say that it did.
    """
    if isinstance(error, JobError):
        said = " ".join(str(error).split())
    else:
        first = next(iter(_COLOURS.sub("", str(error)).strip().splitlines()), "")
        said = f"{type(error).__name__}: {first.strip()}"
        if isinstance(error, OSError) and error.strerror and error.filename:
            said = f"{error.strerror}: {error.filename}"
        if error.__cause__ is not None:
            said = f"{reason(error.__cause__)}; {said}"
    return said if len(said) <= _LONGEST_REASON else f"{said[: _LONGEST_REASON - 3]}..."


def how_ended(status: int) -> str:
    """Return how a process ended, by its exit status, which is negative where a signal killed it."""
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def last_words(status: int, said: str) -> str:
    """Return in one line what a process ended with: of a traceback the error, and not the frames, which are indented."""
    lines = [line for line in said.splitlines() if line.strip()]
    last = list(takewhile(lambda line: not line.startswith("  "), reversed(lines)))[::-1]
    if status < 0 or not last:
        return f"its process {how_ended(status)}"
    return " ".join(line.strip() for line in last[-_LAST_LINES:])


def unknown(kind: str, name: str, known: Iterable[str], hint: str = "") -> UsageError:
    """Return the error for a name that does not exist, with the closest spelling there is."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    advice = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known) or 'none'}"
    return UsageError(f"unknown {kind} {name!r}: {advice}{' ' + hint if hint else ''}")
