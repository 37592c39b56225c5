"""Instances of a series lie side by side in its folder; listed, they are in the order of their keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomcore.errors import InvalidRequest, NotFound
from dicomio.directory_store import DirectoryStore
from dicomio.folder_layout import place

SERIES = "instances/1.2/1.2.3"
DIGEST = "0123456789abcdef"


def keys(store: DirectoryStore, prefix: str = "", start_after: str = "") -> list[str]:
    return [stat.key for stat in store.list(prefix, start_after=start_after)]


def test_an_instance_is_a_file_in_the_folder_of_its_series(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)

    store.put(f"{SERIES}/1.2.3.4/{DIGEST}.dcm", [b"x"])

    assert [path.name for path in (tmp_path / SERIES).iterdir()] == [f"1.2.3.4_{DIGEST}.dcm"]
    assert store.get(f"{SERIES}/1.2.3.4/{DIGEST}.dcm") == b"x"
    assert store.stat(f"{SERIES}/1.2.3.4/{DIGEST}.dcm").size_bytes == 1


def test_versions_of_one_instance_are_listed_below_its_prefix_only(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    wanted = [f"{SERIES}/1.2.3.4/{n}{DIGEST[1:]}.dcm" for n in "09af"]
    for key in (*wanted, f"{SERIES}/1.2.3.40/{DIGEST}.dcm", f"{SERIES}/1.2.3/{DIGEST}.dcm"):
        store.put(key, [b"x"])

    assert keys(store, f"{SERIES}/1.2.3.4/") == wanted
    assert keys(store, f"{SERIES}/1.2.3.4/", wanted[1]) == wanted[2:]
    assert keys(store, f"{SERIES}/1.2.3.4") == [*wanted, f"{SERIES}/1.2.3.40/{DIGEST}.dcm"]


def test_a_deleted_instance_is_gone_and_its_neighbours_are_not(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    gone, kept = f"{SERIES}/1.2.3.4/{DIGEST}.dcm", f"{SERIES}/1.2.3.5/{DIGEST}.dcm"
    store.put(gone, [b"x"])
    store.put(kept, [b"y"])

    store.delete(gone)

    assert keys(store) == [kept]
    with pytest.raises(NotFound):
        store.get(gone)


def test_what_cannot_be_got_is_not_listed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    wanted = [f"{SERIES}/1.2.3.4/{DIGEST}.dcm", f"{SERIES}/1.2.3.4/notes.txt"]
    for key in wanted:
        store.put(key, [b"x"])

    (tmp_path / SERIES / "1.2.3.4" / f"{DIGEST}.dcm").write_bytes(b"somebody else's")

    assert [store.get(key) for key in keys(store)] == [b"x", b"x"]
    assert keys(store) == wanted


def test_a_key_that_would_be_taken_for_an_instance_is_refused(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)

    with pytest.raises(InvalidRequest):
        store.put(f"{SERIES}/1.2.3.4_{DIGEST}.dcm", [b"x"])


def test_two_keys_never_share_a_place() -> None:
    near = [
        f"{SERIES}/1.2.3.4/{DIGEST}.dcm",
        f"{SERIES}/1.2.3.4/{DIGEST}.DCM",
        f"{SERIES}/1.2.3.4/a{DIGEST}.dcm",
        f"{SERIES}/x/{DIGEST}.dcm",
        f"{SERIES}/1.2.3.4_x/{DIGEST}.dcm",
        f"elsewhere/1.2/1.2.3/1.2.3.4/{DIGEST}.dcm",
        f"elsewhere/1.2/1.2.3/1.2.3.4_{DIGEST}.dcm",
        f"instances/1.2/1.2.3.4_{DIGEST}.dcm",
        f"{SERIES}/1.2.3.4/deeper/{DIGEST}.dcm",
    ]

    assert len({place(key) for key in near}) == len(near)


_UIDS = st.sampled_from(["1", "1.2", "1.20", "1.2.3", "10", "2"])
_NAMES = st.one_of(
    st.sampled_from([f"{n}{DIGEST[1:]}.dcm" for n in "0af"]),
    # what nobody puts there, beside it
    st.sampled_from(["0", "note.txt", "deeper/a", "deeper/z"]),
)
_KEYS = st.one_of(
    st.builds("instances/{}/{}/{}/{}".format, _UIDS, _UIDS, _UIDS, _NAMES),
    st.builds("instances/{}/{}/!{}.txt".format, _UIDS, _UIDS, _UIDS),
    st.builds("outbox/{}.json".format, _UIDS),
)


@settings(max_examples=60, deadline=None)
@given(st.sets(_KEYS, max_size=12), _KEYS, _KEYS)
def test_whatever_is_there_is_listed_in_the_order_of_keys(
    tmp_path_factory: pytest.TempPathFactory, put: set[str], prefixed: str, start_after: str
) -> None:
    store = DirectoryStore(tmp_path_factory.mktemp("listed"))
    for key in put:
        store.put(key, [b"x"])

    assert keys(store) == sorted(put)
    for end in range(len(prefixed) + 1):
        prefix = prefixed[:end]
        expected = sorted(k for k in put if k.startswith(prefix) and k > start_after)
        assert keys(store, prefix, start_after) == expected
