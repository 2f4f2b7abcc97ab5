"""How a command ends that was asked to stop: by Ctrl-C, by a termination, by a terminal that closes."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

INTERRUPTED = 130


def exit_with(work: Callable[[], int]) -> NoReturn:
    """Exit with what the work returns, or as interrupted."""
    with signals_interrupt():
        try:
            sys.exit(work())
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


@contextlib.contextmanager
def signals_interrupt() -> Iterator[None]:
    """Make a termination or a closed terminal the same clean stop as Ctrl-C, unless nohup asked to be left alone."""

    def interrupt(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, interrupt) for number in wanted}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
