"""Files written past the page cache: the same bytes as through it, whatever the system takes so."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomio.aligned import ALIGNED, aligned, misalignment
from dicomio.new_files import BUFFER_BYTES, SMALLEST_DIRECT_BYTES, NewFiles
from dicomio.parts import CHUNK_BYTES, Parts

ON_LINUX = sys.platform == "linux"
HEADER = b"header " * 40
SIZES = (
    SMALLEST_DIRECT_BYTES - 1,
    SMALLEST_DIRECT_BYTES,
    BUFFER_BYTES - len(HEADER),
    BUFFER_BYTES,
    BUFFER_BYTES + ALIGNED + 1,
    CHUNK_BYTES + 1,
)


def data_of(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def received(data: bytes, *, behind: int) -> memoryview:
    """As a data set lies in memory that was made for it: so many bytes behind a block."""
    memory = aligned(behind + len(data))
    memory[behind:] = data
    return memory[behind:]


class Written:
    """The flags that files were opened with, and what was written to them directly."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[int] = []
        self.direct_bytes = 0
        writev, opens = os.writev, os.open

        def counted(descriptor: int, buffers: Sequence[memoryview]) -> int:
            count = writev(descriptor, buffers)
            self.direct_bytes += count if self.opened[-1] & os.O_DIRECT else 0
            return count

        def noted(path: str, flags: int, mode: int = 0o777) -> int:
            self.opened.append(flags)
            return opens(path, flags, mode)

        monkeypatch.setattr(os, "writev", counted)
        monkeypatch.setattr(os, "open", noted)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    return Written(monkeypatch)


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_what_was_given_however_it_lies_in_memory(
    tmp_path: Path, size: int, *, direct: bool
) -> None:
    files, data = NewFiles(direct=direct), data_of(size)
    bodies = (
        [data],
        [HEADER, data],
        [HEADER, received(data, behind=len(HEADER))],
        [HEADER, received(data, behind=1)],
        [HEADER, memoryview(data)[: size // 2], memoryview(data)[size // 2 :]],
    )

    for number, body in enumerate(bodies):
        files.write(tmp_path / str(number), Parts(body))

        assert (tmp_path / str(number)).read_bytes() == b"".join(body)


@given(st.lists(st.integers(0, 3 * ALIGNED), max_size=4), st.integers(0, ALIGNED))
def test_pieces_of_any_length_are_written_in_their_order(sizes: list[int], behind: int) -> None:
    # two buffers and a little: the last piece lies where it may or may not be written from
    last = received(data_of(2 * BUFFER_BYTES + 5), behind=behind)
    body = [*(data_of(size) for size in sizes), last]

    with TemporaryDirectory() as folder:
        path = Path(folder) / "object"
        NewFiles().write(path, Parts(body))
        assert path.read_bytes() == b"".join(body)


@pytest.mark.skipif(not ON_LINUX, reason="the system has no direct writes")
def test_an_instance_that_lies_right_goes_to_the_disk_from_where_it_is(
    tmp_path: Path, written: Written
) -> None:
    size = 3 * SMALLEST_DIRECT_BYTES + 7
    body = Parts([HEADER, received(data_of(size), behind=len(HEADER))])

    NewFiles().write(tmp_path / "object", body)

    # the last opening was the file's; where the file system refused the first, there was a second
    is_direct = bool(written.opened[-1] & os.O_DIRECT)
    # all but the end, which is no whole block
    assert written.direct_bytes == (body.size_bytes // ALIGNED * ALIGNED if is_direct else 0)


@pytest.mark.skipif(not ON_LINUX, reason="the system has no direct writes")
def test_a_file_system_without_direct_writes_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    opens = os.open

    def without(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            asked.append(path)
            os.close(opens(path, flags & ~os.O_DIRECT, mode))  # some make the file all the same
            raise OSError(errno.EINVAL, "no direct writes")
        return opens(path, flags, mode)

    monkeypatch.setattr(os, "open", without)
    files, data = NewFiles(), data_of(SMALLEST_DIRECT_BYTES + 1)

    for name in ("first", "second"):
        files.write(tmp_path / name, Parts([data]))
        assert (tmp_path / name).read_bytes() == data

    assert len(asked) == 1


def refused(_descriptor: int, _buffers: Sequence[memoryview]) -> int:
    raise OSError(errno.EINVAL, "not in blocks of this size")


@pytest.mark.skipif(not ON_LINUX, reason="the system has no direct writes")
def test_what_cannot_be_written_directly_after_all_goes_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_of(SMALLEST_DIRECT_BYTES + 1)
    monkeypatch.setattr(os, "writev", refused)

    NewFiles().write(tmp_path / "object", Parts([HEADER, data]))

    assert (tmp_path / "object").read_bytes() == HEADER + data


@pytest.mark.skipif(not ON_LINUX, reason="the system has no direct writes")
@pytest.mark.parametrize("most", [ALIGNED, 3 * ALIGNED, ALIGNED + 512, 100])
def test_writes_that_take_a_part_are_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    body = Parts([HEADER, received(data_of(SMALLEST_DIRECT_BYTES + 1), behind=len(HEADER))])
    monkeypatch.setattr(os, "writev", _at_most(most, os.write))

    NewFiles(direct=most % 512 == 0).write(tmp_path / "object", body)

    assert (tmp_path / "object").read_bytes() == b"".join(body.parts)


def _at_most(
    most: int, write: Callable[[int, bytes | memoryview], int]
) -> Callable[[int, Sequence[memoryview]], int]:
    def some(descriptor: int, buffers: Sequence[memoryview]) -> int:
        return write(descriptor, aligned_copy(b"".join(buffers)[:most]))

    return some


def aligned_copy(data: bytes) -> memoryview:
    memory = aligned(len(data))
    memory[:] = data
    return memory


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "object").write_bytes(b"mine")

    with pytest.raises(FileExistsError):
        NewFiles().write(tmp_path / "object", Parts([data_of(SMALLEST_DIRECT_BYTES)]))

    assert (tmp_path / "object").read_bytes() == b"mine"


def test_memory_knows_where_it_lies() -> None:
    memory = aligned(2 * ALIGNED)

    assert misalignment(memory) == 0
    assert misalignment(memory[17:]) == 17
    assert misalignment(memory[ALIGNED:]) == 0
    assert misalignment(memoryview(b"read only")) is None


def test_what_was_gone_through_is_still_there() -> None:
    memory = aligned(2 * ALIGNED)
    memory[:] = data = data_of(len(memory))
    body = Parts([memory])

    for _ in range(2):
        assert b"".join(body) == data
