"""Turns: jobs that are compared take turns, a block each, so that a machine that changes meanwhile changes for all.

Only the one whose turn it is does anything. The launcher says whose it is, over one socket a job.
"""

import socket
from typing import Self


class Turns:
    """A job's side of the socket; without one it is always its turn."""

    def __init__(self, path: str | None) -> None:
        self._socket: socket.socket | None = None
        if path is not None:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(path)

    def hand_over(self) -> bool:
        """Let the others have their turns, and return when it is ours again: whether anybody else may have run."""
        if self._socket is None:
            return False
        self._socket.sendall(b".")
        return bool(self._socket.recv(1))


class Seat:
    """The launcher's side of one job's socket."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(1)
        self._connection: socket.socket | None = None
        self.left = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()
        if self._connection is not None:
            self._connection.close()

    def fileno(self) -> int:
        """Return what becomes readable when the job connects, hands over, or has ended."""
        return (self._connection or self._listener).fileno()

    def handed_over(self) -> bool:
        """Take what became readable; return whether the job has handed over. One that has closed its end has `left`."""
        if self._connection is None:
            self._connection, _ = self._listener.accept()
            return False
        said = bool(self._connection.recv(1))
        self.left = not said
        return said

    def give(self) -> None:
        """Tell the job that it is its turn again."""
        assert self._connection is not None, "it has handed over before"
        self._connection.sendall(b".")
