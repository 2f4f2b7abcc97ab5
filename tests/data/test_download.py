"""Downloads from a real server: resumed where cut, checked before they are unpacked, and a clear word where there is none."""

import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from bench.data import download as downloading
from bench.data.cache import demand, folder
from bench.data.download import download
from bench.errors import JobError, Unavailable
from bench.plan.cards import DatasetCard, DatasetFile

CONTENT = np.random.default_rng(0).bytes(3_000_000)
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


class Server(ThreadingHTTPServer):
    """Serves one file; `ranges`: whether it knows ranges, `cut_after`: bytes before it hangs up, once for each
    in the list, `shift`: by how much it misreads the beginning of a range.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges = True
        self.cut_after: list[int] = []
        self.status = 200
        self.shift = 0
        self.asked: list[str | None] = []

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # The client hangs up when it has seen enough.

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/it"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.server.ranges else 0
        total = len(self.server.content)
        if start >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(total - start))
        if start:
            self.send_header("Content-Range", f"bytes {start + self.server.shift}-{total - 1}/{total}")
        self.end_headers()
        end = start + self.server.cut_after.pop(0) if self.server.cut_after else total
        self.wfile.write(self.server.content[start:end])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as started:
        threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield started
        started.shutdown()


def card(*files: DatasetFile, by_hand: str | None = None) -> DatasetCard:
    return DatasetCard(
        title="It",
        source="us",
        url="http://127.0.0.1",
        license="none",
        classes=2,
        images=2,
        splits="none",
        reader="none:none",
        files=files,
        by_hand=by_hand,
    )


def quiet(name: str, done: int, total: int | None) -> None:
    pass


def tar(*members: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def test_a_file_arrives_whole_with_its_progress(data_cache: Path, server: Server):
    told = []
    one = card(DatasetFile(name="it.mat", url=server.url, checksum=MD5))
    with pytest.raises(Unavailable, match="type: bench download it"):
        demand("it", one)
    assert download("it", one, lambda *progress: told.append(progress)) == data_cache / "it"
    assert (data_cache / "it" / "it.mat").read_bytes() == CONTENT
    assert told[-1] == ("it.mat", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
    assert demand("it", one) == data_cache / "it"
    download("it", one, quiet)
    assert len(server.asked) == 1, "what is there is not fetched again"


def test_a_cut_connection_is_taken_up_where_it_was(data_cache: Path, server: Server):
    server.cut_after = [1_000_000, 500_000, 0, 0, 100, 0, 0, 100, 0]
    download("it", card(DatasetFile(name="it.mat", url=server.url, checksum=MD5)), quiet)
    assert (data_cache / "it" / "it.mat").read_bytes() == CONTENT
    starts = [1000000, *[1500000] * 3, *[1500100] * 3, *[1500200] * 2]
    assert server.asked == [None, *[f"bytes={start}-" for start in starts]]


def test_a_part_of_an_earlier_download_is_completed(data_cache: Path, server: Server):
    (data_cache / "it").mkdir(parents=True)
    (data_cache / "it" / "it.mat.part").write_bytes(CONTENT[:12345])
    download("it", card(DatasetFile(name="it.mat", url=server.url, checksum=MD5)), quiet)
    assert (data_cache / "it" / "it.mat").read_bytes() == CONTENT
    assert server.asked == ["bytes=12345-"]


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"more"])
def test_a_part_as_long_as_the_whole_is_checked_and_a_longer_one_begun_anew(
    data_cache: Path, server: Server, part: bytes
):
    (data_cache / "it").mkdir(parents=True)
    (data_cache / "it" / "it.mat.part").write_bytes(part)
    download("it", card(DatasetFile(name="it.mat", url=server.url, checksum=MD5)), quiet)
    assert (data_cache / "it" / "it.mat").read_bytes() == CONTENT


def test_a_server_that_knows_no_ranges_sends_all_again(data_cache: Path, server: Server):
    server.ranges = False
    server.cut_after = [1_000_000]
    download("it", card(DatasetFile(name="it.mat", url=server.url, checksum=MD5)), quiet)
    assert (data_cache / "it" / "it.mat").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000000-"]


def test_a_wrong_checksum_leaves_nothing_behind(data_cache: Path, server: Server):
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(JobError, match=rf"has md5 \w+, not {MD5[4:]} as published: it was removed"):
        download("it", card(DatasetFile(name="it.tgz", url=server.url, checksum=MD5, into="it")), quiet)
    assert [file.name for file in (data_cache / "it").iterdir()] == [".lock"]


def test_an_archive_becomes_a_folder_and_is_removed(data_cache: Path, server: Server):
    server.content = tar(("inside/a.txt", b"a"), ("inside/b.txt", b"b"))
    checksum = f"sha256:{hashlib.sha256(server.content).hexdigest()}"
    download("it", card(DatasetFile(name="it.tgz", url=server.url, checksum=checksum, into="images")), quiet)
    assert sorted(file.name for file in (data_cache / "it").iterdir()) == [".lock", "images"]
    assert (data_cache / "it" / "images" / "inside" / "b.txt").read_bytes() == b"b"


def test_a_file_put_by_hand_is_checked_unpacked_and_kept(data_cache: Path):
    by_hand = card(DatasetFile(name="it.tgz", checksum=MD5, into="images"), by_hand="Ask the authors.")
    file = rf"it\.tgz \({MD5.replace(':', ' ')}\)"
    expected = rf"Put into {data_cache / 'it'}: {file}\. Then type: bench download it\. Ask the authors"
    with pytest.raises(Unavailable, match=expected):
        download("it", by_hand, quiet)
    with pytest.raises(Unavailable, match=expected):
        demand("it", by_hand)
    (folder("it") / "it.tgz").write_bytes(b"wrong")
    with pytest.raises(JobError, match="put the right one there"):
        download("it", by_hand, quiet)
    content = tar(("a.txt", b"a"))
    (folder("it") / "it.tgz").write_bytes(content)
    right = DatasetFile(name="it.tgz", checksum=f"md5:{hashlib.md5(content).hexdigest()}", into="images")
    download("it", card(right), quiet)
    assert (folder("it") / "images" / "a.txt").exists()
    assert (folder("it") / "it.tgz").exists()


def test_a_file_put_by_hand_that_is_not_unpacked_is_checked_too(data_cache: Path):
    by_hand = card(DatasetFile(name="it.txt", checksum=MD5), by_hand="Ask the authors.")
    folder("it").mkdir(parents=True)
    (folder("it") / "it.txt").write_bytes(CONTENT[:-1])
    with pytest.raises(JobError, match=r"it\.txt: has md5 .* put the right one there"):
        download("it", by_hand, quiet)
    (folder("it") / "it.txt").write_bytes(CONTENT)
    assert download("it", by_hand, quiet) == demand("it", by_hand)


def test_offline_one_message_says_which_file_to_put_where(data_cache: Path):
    url = "http://127.0.0.1:9/it.tgz"
    with pytest.raises(Unavailable) as raised:
        download("it", card(DatasetFile(name="it.tgz", url=url, checksum=MD5)), quiet)
    for said in ("refused", f"Put into {data_cache / 'it'}: it.tgz ({url}, {MD5.replace(':', ' ')})"):
        assert said in str(raised.value)


@pytest.mark.parametrize(("status", "times"), [(404, 1), (503, 5)])
def test_a_server_that_says_no_is_asked_once_and_one_in_trouble_a_few_times(
    data_cache: Path, server: Server, status: int, times: int
):
    server.status = status
    with pytest.raises(Unavailable, match=str(status)):
        download("it", card(DatasetFile(name="it.mat", url=server.url, checksum=MD5)), quiet)
    assert len(server.asked) == times


def test_a_connection_that_is_always_cut_ends(data_cache: Path, server: Server):
    server.cut_after = [10, *[0] * 20]
    with pytest.raises(Unavailable, match="the connection was cut"):
        download("it", card(DatasetFile(name="it.mat", url=server.url, checksum=MD5)), quiet)
    assert (data_cache / "it" / "it.mat.part").stat().st_size == 10, "what came is kept for the next try"
    assert len(server.asked) == 1 + downloading._TRIES


def test_two_at_once_do_not_write_one_file(data_cache: Path, server: Server):
    one = card(DatasetFile(name="it.mat", url=server.url, checksum=MD5))

    def second(name: str, done: int, total: int | None) -> None:
        with pytest.raises(Unavailable, match="another process downloads"):
            download("it", one, quiet)

    download("it", one, second)


def test_bytes_that_were_not_asked_for_are_not_appended(data_cache: Path, server: Server):
    server.cut_after = [1000]
    server.shift = 1
    with pytest.raises(Unavailable, match="asked for bytes 1000 on and sent others"):
        download("it", card(DatasetFile(name="it.mat", url=server.url, checksum=MD5)), quiet)
    assert (data_cache / "it" / "it.mat.part").read_bytes() == CONTENT[:1000]
