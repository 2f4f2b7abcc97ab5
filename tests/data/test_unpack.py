"""An archive becomes a folder, whole or not at all, and never writes outside."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from bench.data.unpack import unpack
from bench.errors import JobError


def write_tar(file: Path, members: dict[str, bytes], link: str | None = None) -> None:
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        if link is not None:
            member = tarfile.TarInfo("link")
            member.type, member.linkname = tarfile.SYMTYPE, link
            archive.addfile(member)


def left(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_zip_and_tar_are_told_apart_by_what_they_hold(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("2750/Forest/1.jpg", b"1")
    write_tar(tmp_path / "b", {"x/y": b"2"})
    unpack(tmp_path / "a", tmp_path / "into" / "zip")
    unpack(tmp_path / "b", tmp_path / "into" / "tar")
    assert left(tmp_path / "into") == ["tar/x/y", "zip/2750/Forest/1.jpg"]


def test_archives_inside_become_a_folder_each(tmp_path: Path):
    """As ImageNet's training images come: one archive a class in one archive."""
    inner = {}
    for synset in ("n01440764", "n01443537"):
        write_tar(tmp_path / "inner.tar", {f"{synset}_1.JPEG": synset.encode()})
        inner[f"{synset}.tar"] = (tmp_path / "inner.tar").read_bytes()
    write_tar(tmp_path / "outer.tar", inner)
    unpack(tmp_path / "outer.tar", tmp_path / "train", nested=True)
    assert left(tmp_path / "train") == ["n01440764/n01440764_1.JPEG", "n01443537/n01443537_1.JPEG"]


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/bench-out.txt", "a/../../out.txt"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_path_that_leads_out_writes_nothing_there(tmp_path: Path, name: str, kind: str):
    file = tmp_path / "archive"
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("good.txt", b"good")
            archive.writestr(name, b"bad")
    else:
        write_tar(file, {"good.txt": b"good", name: b"bad"})
    if kind == "tar" and name.startswith("/"):  # The data filter takes the slash away, and all stays inside.
        unpack(file, tmp_path / "into")
    else:
        with pytest.raises(JobError, match=r"archive: refused: .*outside the destination"):
            unpack(file, tmp_path / "into")
        assert not (tmp_path / "into").exists()
    assert not (tmp_path / "out.txt").exists()
    assert not Path("/tmp/bench-out.txt").exists()


@pytest.mark.parametrize("link", ["/etc", "../.."])
def test_a_link_that_leads_out_is_refused(tmp_path: Path, link: str):
    write_tar(tmp_path / "archive", {}, link=link)
    with pytest.raises(JobError, match="refused"):
        unpack(tmp_path / "archive", tmp_path / "into")


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_broken_archive_is_named_and_leaves_nothing(tmp_path: Path, content: bytes | None):
    file = tmp_path / "broken.tar"
    if content is None:
        write_tar(file, {"a": b"1" * 5000, "b": b"2" * 5000})
        content = file.read_bytes()[:4000]
    file.write_bytes(content)
    with pytest.raises(JobError, match=r"broken\.tar: is no whole archive"):
        unpack(file, tmp_path / "into")
    assert [found.name for found in tmp_path.iterdir()] == ["broken.tar"]
