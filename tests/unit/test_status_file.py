"""The list of stored files: durable line by line, known under any spelling, never believed too much."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dicomtools.problems import CommandProblem
from dicomtools.status_file import status_file


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "sub"
    folder.mkdir(parents=True)
    made = [folder / name for name in ("IM1", "IM10", "RP ü.dcm")]
    for path in made:
        path.write_bytes(b"")
    return made


def listed_in(content: bytes, files: list[Path]) -> list[str]:
    """Return the names of the files that a list with this content holds."""
    Path("done.txt").write_bytes(content)
    with status_file(Path("done.txt")) as listed:
        return [path.name for path in files if path in listed]


def test_what_is_recorded_is_there_at_once_and_in_the_next_run(files: list[Path]) -> None:
    with status_file(Path("new/done.txt")) as listed:
        assert files[0] not in listed
        for number, path in enumerate(files, start=1):
            listed.record(path)
            assert path in listed
            # another process sees it without waiting for this one to end
            assert len(Path("new/done.txt").read_bytes().splitlines()) == number

    with status_file(Path("new/done.txt")) as listed:
        assert all(path in listed for path in files)


@pytest.mark.parametrize(
    "spelling",
    [
        "{path}",
        "data/sub/IM1",
        "./data/../data//sub/IM1",
        "data\\sub\\IM1",
        '"{path}"',
        "  {path}  ",
        "link/IM1",
        "hard",
    ],
)
def test_every_spelling_of_a_path_is_the_same_file(files: list[Path], spelling: str) -> None:
    Path("link").symlink_to(files[0].parent, target_is_directory=True)
    os.link(files[0], "hard")
    line = spelling.format(path=files[0])

    assert listed_in(f"{line}\n".encode(), files) == ["IM1"]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lists_of_other_systems_are_read(files: list[Path], newline: str, mark: bytes) -> None:
    lines = [str(files[0]), "C:\\gone.dcm", "", str(files[2]), ""]

    assert listed_in(mark + newline.join(lines).encode(), files) == ["IM1", "RP ü.dcm"]


def test_a_last_line_without_its_end_is_not_believed_and_not_continued(files: list[Path]) -> None:
    half = f"{files[1]}\n{files[0]}".encode()  # of a path that begins like this one

    assert listed_in(half, files) == ["IM10"]
    with status_file(Path("done.txt")) as listed:
        listed.record(files[2])
    assert Path("done.txt").read_text().splitlines()[-1] == str(files[2])


def test_zeros_that_a_power_cut_left_do_no_harm(files: list[Path]) -> None:
    assert listed_in(b"\0" * 40 + b"\n" + f"{files[0]}\n".encode(), files) == ["IM1"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_with_a_line_break_is_never_listed_as_two_others(files: list[Path]) -> None:
    odd = files[0].parent / "IM10\nIM1"
    odd.write_bytes(b"")
    with status_file(Path("done.txt")) as listed:
        listed.record(odd)

    assert listed_in(Path("done.txt").read_bytes(), [*files, odd]) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_is_no_text_is_listed(files: list[Path]) -> None:
    odd = Path(os.fsdecode(bytes(files[0].parent) + b"/\xff\xfe"))
    odd.write_bytes(b"")
    with status_file(Path("done.txt")) as listed:
        listed.record(odd)

    with status_file(Path("done.txt")) as listed:
        assert odd in listed


def test_a_folder_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(CommandProblem) as problem, status_file(tmp_path):
        pass

    assert "--statusFileName" in problem.value.words
