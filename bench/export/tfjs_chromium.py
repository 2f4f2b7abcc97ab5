"""A graph model of TensorFlow.js, for any batch, run by its WebAssembly backend in a headless Chromium."""

import contextlib
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from typing import ClassVar, NamedTuple

import msgspec

from bench.errors import JobError, Unavailable
from bench.export import tfjs, tfjs_environment
from bench.export.format import Answer, Question, Tell
from bench.measure.memory import family_peak_resident_bytes

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_LOOK_SECONDS = 0.2
_NOWHERE = Path("/nowhere")


def chromium() -> str:
    """Return the browser's program; raise `Unavailable` where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise Unavailable(f"no Chromium on the path ({', '.join(NAMES)}): apt-get install chromium")
    return found


class Page(http.server.SimpleHTTPRequestHandler):
    """Serves files to a page, and takes what it posts.

    `folders`: by the first part of an address, where its files lie. `posted`: by its address, what came.
    """

    folders: ClassVar[dict[str, Path]] = {}
    posted: ClassVar[dict[str, bytes]] = {}

    def translate_path(self, path: str) -> str:
        """Return the file of an address, and for what lies outside of the folders one that is not there."""
        first, _, rest = path.partition("?")[0].lstrip("/").partition("/")
        folder = self.folders.get(first, _NOWHERE).resolve()
        file = (folder / rest).resolve()
        return str(file if file.is_relative_to(folder) else _NOWHERE)

    def end_headers(self) -> None:
        """Isolate the page, without which a browser has no threads for it and a coarse clock."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def do_GET(self) -> None:
        """Send a file, or of it the bytes that the page asks for: `Range: bytes=FIRST-LAST`."""
        asked = self.headers["Range"]
        if asked is None:
            super().do_GET()
            return
        first, last = map(int, asked.removeprefix("bytes=").split("-"))
        with Path(self.translate_path(self.path)).open("rb") as file:
            file.seek(first)
            part = file.read(last - first + 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/*")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def do_POST(self) -> None:
        self.posted[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing of each request."""


class Visit(NamedTuple):
    """What a page posted, by address, and the sum of what the browser's processes had in memory at most."""

    posted: dict[str, bytes]
    peak_resident_bytes: int


def visit(address: str, folders: dict[str, Path], until: tuple[str, ...]) -> Visit:
    """Open an address of our own server in a headless browser until it has posted one of `until`.

    How long that may take is limited by who waits for this process.
    """
    served = type("Served", (Page,), {"folders": folders, "posted": {}})
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), served) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        tempfile.TemporaryFile("w+", errors="replace") as log,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [
            *(chromium(), "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            *(f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_port}/{address}"),
        ]
        browser = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        try:
            while not served.posted.keys() & set(until):  # type: ignore[attr-defined]
                with contextlib.suppress(subprocess.TimeoutExpired):
                    status = browser.wait(_LOOK_SECONDS)
                    raise JobError(f"Chromium ended with status {status}")
            peak = family_peak_resident_bytes(browser.pid)
        finally:
            browser.kill()
            browser.wait()
            server.shutdown()
            log.seek(0)
            print(textwrap.indent(log.read(), "  "), file=sys.stderr)  # Its last word comes in our own.
        return Visit(dict(served.posted), peak)  # type: ignore[attr-defined]


def _answer(question: Question) -> Answer:
    artifact, pixels = Path(question.artifact), Path(question.pixels)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "question.json").write_bytes(msgspec.json.encode(question))
        folders = {
            "page": tfjs.JAVASCRIPT,
            "modules": tfjs_environment.modules(),
            "asked": Path(folder),
            "model": artifact,
            "images": pixels.parent,
        }
        posted, peak = visit("page/browser.html", folders, ("/answer", "/error"))
    if "/error" in posted:
        raise JobError(f"in Chromium: {posted['/error'].decode(errors='replace')}")
    if question.logits is not None:
        Path(f"{question.logits}.raw").write_bytes(posted["/logits"])
        tfjs.keep_logits(question)
    answer = msgspec.json.decode(posted["/answer"], type=Answer)
    # A page tells the time of day; telemetry is on the machine's monotonic clock.
    ahead = time.time() - time.perf_counter()
    begun = tuple(moment - ahead for moment in answer.latency_begun_seconds)
    return msgspec.structs.replace(answer, latency_begun_seconds=begun, peak_resident_bytes=peak)


def _needs() -> None:
    chromium()
    tfjs_environment.needs()


def _prepare(tell: Tell) -> None:
    chromium()
    tfjs_environment.prepare(tell)


FORMAT = tfjs.FORMAT._replace(
    runtime="TensorFlow.js, WebAssembly in Chromium",
    answer=_answer,
    several_threads=True,
    needs=_needs,
    prepare=_prepare,
)
