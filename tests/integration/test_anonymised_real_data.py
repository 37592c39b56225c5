"""Real radiotherapy objects: anonymised, sent to a store-scp, read again; their trees keep their shape."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from dicomcore import render
from dicomcore.deident import SHIPPED, BurnedIn, PatientIdentity, parse_options, shipped_profile
from dicomcore.errors import Rejected
from dicomcore.export import ExportFile
from dicomcore.header import read_header
from dicomcore.keys import INSTANCES, object_key
from dicomcore.model import InstanceHeader
from dicomcore.readers.part10 import open_object
from dicomcore.tree import build_trees
from dicomio.directory_store import DirectoryStore
from dicomio.exporting.anonymisation import Anonymization
from dicomio.exporting.proving import Prover
from tests.integration.scp_world import world
from tests.peers.raw_scu import RawScu

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "rt"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the real data are not on this machine")
CHOICES = (
    (SHIPPED[0], ()),
    (SHIPPED[1], ("CleanDesc", "RetainDeviceIdent")),
    (SHIPPED[0], ("RetainUIDs", "RetainLongModifDates", "RetainPatientChars")),
)
CONTEXTS = 120


@cache
def patients() -> dict[tuple[str, str], dict[str, bytes]]:
    """The objects of each patient of each folder, by digest."""
    found: dict[tuple[str, str], dict[str, bytes]] = defaultdict(dict)
    for path in sorted(FOLDER.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        try:
            header = read_header(data, complete=True)
        except Rejected:
            continue
        if header is not None:
            key = path.parts[len(FOLDER.parts)], header.patient_id
            found[key][hashlib.sha256(data).hexdigest()] = data
    return dict(found)


def header_of(data: bytes) -> InstanceHeader:
    header = read_header(data, complete=True)
    assert header is not None
    return header


def shape(headers: Sequence[InstanceHeader]) -> list[object]:
    """What hangs below what, without names, dates and UIDs, in whatever order."""
    text = "\n".join(map(render.text, build_trees(headers)))
    root: list[object] = []
    open_at: list[tuple[int, list[object]]] = [(-1, root)]
    for line in filter(str.strip, re.sub("Patient: .*", "Patient", text).splitlines()):
        depth = len(line) - len(line.lstrip())
        while open_at[-1][0] >= depth:
            open_at.pop()
        node: list[object] = [re.split(r",| \(| \[|: (?!\d+ )", line.strip())[0]]
        open_at[-1][1].append(node)
        open_at.append((depth, node))
    return _sorted(root)


def _sorted(nodes: list[object]) -> list[object]:
    return sorted((_sorted(n) if isinstance(n, list) else n for n in nodes), key=repr)


def anonymised(
    patient_id: str, objects: dict[str, bytes], profile: str, options: tuple[str, ...], folder: Path
) -> list[tuple[bytes, bytes]]:
    """Original and proven output of everything that can be anonymised."""
    store = DirectoryStore(folder / "store")
    staging = folder / "staging"
    staging.mkdir()
    files = []
    for digest, data in objects.items():
        header = header_of(data)
        key = str(object_key(header.ref, digest))
        store.put(key, [data])
        files.append(
            ExportFile(
                digest, key, header.sop_class_uid, header.modality, "its patient", newest=True
            )
        )
    how = Anonymization(
        shipped_profile(profile),
        parse_options(options),
        b"k" * 32,
        allow_partial=True,
        allowed_burned_in=frozenset(BurnedIn),
    )
    prover = Prover(how, PatientIdentity(patient_id, "NEW", "NEW"), store, staging)
    prover.learn(files)
    proven, _ = prover.prove(files)
    store.close()
    originals = list(objects.values())
    return [(originals[int(one.staged.stem)], one.staged.read_bytes()) for one in proven]


def send(port: int, objects: Sequence[bytes]) -> list[int]:
    """Send data sets as they are encoded; return the statuses."""
    opened = [(open_object(data), header_of(data)) for data in objects]
    contexts = sorted({(o.sop_class_uid, o.transfer_syntax_uid) for o, _ in opened})
    assert len(contexts) <= CONTEXTS
    statuses = []
    with RawScu(port, contexts) as scu:
        for at, header in opened:
            context = 1 + 2 * contexts.index((at.sop_class_uid, at.transfer_syntax_uid))
            uid = str(header.ref.sop_instance_uid)
            data_set = at.data[at.start :]
            statuses.append(scu.store(data_set, at.sop_class_uid, uid, context_id=context))
    return statuses


@pytest.mark.parametrize(("profile", "options"), CHOICES)
def test_every_patient_has_the_same_tree_after_an_export_and_an_import(
    profile: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    sent, different = 0, []
    for number, ((folder, patient_id), objects) in enumerate(patients().items()):
        # given what of a patient can be anonymised
        work = tmp_path / str(number)
        work.mkdir()
        pairs = anonymised(patient_id, objects, profile, options, work)
        if not pairs:
            continue

        # when it is sent to a store-scp
        with world(work / "landed") as at:
            statuses = send(at.port, [new for _, new in pairs])
            landed = [at.store.get(stat.key) for stat in at.store.list(INSTANCES)]

        # then all of it lands, and its tree is that of the originals
        assert statuses == [0x0000] * len(pairs)
        assert len(landed) == len({new for _, new in pairs})
        before = shape([header_of(old) for old, _ in pairs])
        after = shape([header_of(data) for data in landed])
        if before != after:
            different.append((folder, number, before, after))
        sent += len(pairs)

    assert not different
    assert sent > 100
