"""Anonymised exports over HTTP: nothing of the patient leaves, wherever one looks; all else does."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from dicomcore.audit import audit_event
from dicomcore.deident import BurnedIn, recovered
from dicomcore.errors import InvalidRequest, Rejected
from dicomcore.events import ExportCompleted, ExportFailed, ExportRequested
from dicomcore.export import MANIFEST_NAME
from dicomcore.header import read_header
from dicomcore.keys import object_key, parse_object_key
from dicomcore.model import InstanceHeader
from dicomcore.ports import ObjectStore
from dicomcore.references import ReferenceGraph
from dicomio.audit import act_of
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Lander
from dicomio.pacs import DicomPacs, Peer
from dicomio.sealed import load_certificates, load_opener, unseal
from indexer.exporting.maps import APART, MAPS, SEALED, MapSink, PlainMaps, SealedMaps
from store_scp.options import ScpOptions
from store_scp.server import StoreScp
from tests import factories
from tests.export_world import KEY, PEER, UIDS, ExportWorld, Given, export_world
from tests.indexer_world import published
from tests.integration.test_no_patient_data import AT
from tests.integration.test_retrieve_anonymised import poisoned, uids_of
from tests.recipients import recipient

PATIENT = poisoned(factories.small_patient(patient_id="CANARY-FIRST", seed=1))
PLAN = next(PATIENT.plans_with("PLAN_1"))
ORIGINALS = {uid.encode() for dataset in PATIENT.datasets for uid in uids_of(dataset)}
LOUD = (b"canary", "canary".encode("utf-16-le"), b"19431107")
ORDER: dict[str, Any] = {
    "selection": {"patient": PATIENT.patient_id},
    "anonymise": {"new_patient_id": "NEW", "allow_burned_in": ["rt_image"]},
}


def quiet(output: bytes) -> None:
    """Fail if anything tells who it was."""
    for loud in LOUD:
        at = output.lower().find(loud)
        assert at < 0, output[max(0, at - 200) : at + 100]
    assert ORIGINALS.isdisjoint(re.findall(rb"\d+(?:\.\d+){3,}", output))


def headers(world: ExportWorld, prefix: str) -> Iterator[InstanceHeader]:
    for key, body in world.objects(prefix).items():
        if key.endswith(".dcm"):
            header = read_header(body, complete=True)
            assert header is not None
            yield header


async def test_nothing_of_the_patient_is_in_any_object_name_manifest_event_log_or_answer(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        capfd.readouterr()  # landing and indexing are others' tests

        complete = await world.export(**ORDER)
        held = await world.export(ORDER["selection"], anonymise={})
        refused = await world.export(
            ORDER["selection"], anonymise={"new_patient_id": "xCANARY-FIRSTx"}
        )
        job = f"/v1/exports/{complete['id']}"
        for path in ("/v1/exports", f"{job}/items", f"{job}/manifest"):
            await world.ask("GET", path, status=200)
        async with world.session.get(f"{world.url}{job}/zip") as answer:
            archive = await answer.read()

        assert (complete["state"], held["state"], refused["state"]) == (
            "complete",
            "failed",
            "failed",
        )
        assert complete["instances"] == len(PATIENT.datasets)
        for key, body in world.objects().items():
            quiet(key.encode() + b"\n" + body)
        quiet(archive)
        quiet("\n".join(world.said).encode())
        for kind, count in ((ExportRequested, 3), (ExportCompleted, 1), (ExportFailed, 2)):
            for event in await published(world.bus, kind, count):
                quiet(event.model_dump_json().encode())
        for act in (*world.acts, *map(act_of, world.audited)):
            event = audit_event(act, recorded=AT, observer="test", key=b"k" * 32)
            quiet(event.model_dump_json(by_alias=True).encode())
        quiet("".join(capfd.readouterr()).encode())


async def test_what_is_left_of_a_failed_export_is_its_manifest_and_no_temporary_file(
    tmp_path: Path,
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    async with export_world(tmp_path, PATIENT.datasets, Given(spool=spool)) as world:
        export = await world.export(ORDER["selection"], anonymise={})

        assert list(world.objects()) == [export["prefix"] + MANIFEST_NAME]
        assert list(spool.iterdir()) == []


async def test_what_a_killed_process_left_in_its_own_folder_is_removed_at_start(
    tmp_path: Path,
) -> None:
    spool = tmp_path / "spool"
    (spool / "export-left" / "patient-0").mkdir(parents=True)
    (spool / "export-left" / "patient-0" / "0.dcm").write_bytes(b"original")
    (spool / "of-somebody-else").mkdir()
    async with export_world(tmp_path, PATIENT.datasets, Given(spool=spool)) as world:
        await world.export(**ORDER)

        assert [path.name for path in spool.iterdir()] == ["of-somebody-else"]


# ── back into a system ──────────────────────────────────────────────────────────────────────


def shape(found: list[InstanceHeader]) -> Counter[tuple[object, ...]]:
    """What references what, by kind, without names."""
    graph = ReferenceGraph(found)
    edges: Counter[tuple[object, ...]] = Counter()
    for header in graph.headers:
        edges[header.kind, header.sop_class_uid] += 1
        for reference in header.references:
            target = graph.header(reference.uid)
            kind = None if target is None else target.kind
            edges[header.kind, reference.relation, reference.level, kind] += 1
    return edges


async def test_an_anonymised_export_sent_to_store_scp_is_the_same_tree(tmp_path: Path) -> None:
    patient = factories.small_twelve_plans(seed=3)
    again = DirectoryStore(tmp_path / "again")
    scp = StoreScp(
        ScpOptions(ae_title="AGAIN", host="127.0.0.1", port=0),
        Lander(again, lambda *_: None).land,
    )
    scp.start()
    try:
        pacs = DicomPacs(Peer(name=PEER, ae_title="AGAIN", host="127.0.0.1", port=scp.port))
        given = Given(pacs=pacs)
        async with export_world(tmp_path, patient.datasets, given) as world:
            export = await world.export(
                {"patient": patient.patient_id},
                anonymise={**ORDER["anonymise"], "allow_partial": True},
                destination={"peer": PEER},
            )
    finally:
        scp.stop()
    try:
        landed = [
            header
            for stat in again.list("instances/")
            if (header := read_header(again.get(stat.key), complete=True)) is not None
        ]
    finally:
        again.close()

    held = {one["sop_instance_uid"] for one in export["quarantined"]}
    before = [header_of(dataset) for dataset in patient.datasets]
    kept = [header for header in before if UIDS.uid(header.ref.sop_instance_uid) not in held]
    assert len(landed) == len(kept) > 100
    assert shape(landed) == shape(kept)
    assert {header.patient_id for header in landed} == {"NEW"}


def header_of(dataset: Dataset) -> InstanceHeader:
    header = read_header(factories.part10(dataset), complete=True)
    assert header is not None
    return header


async def test_the_archive_of_an_anonymised_plan_unpacks_to_the_same_tree(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        export = await world.export(
            {"plans": [PLAN.sop_instance_uid]}, anonymise=ORDER["anonymise"]
        )
        async with world.session.get(f"{world.url}/v1/exports/{export['id']}/zip") as answer:
            archive = zipfile.ZipFile(io.BytesIO(await answer.read()))

        archive.extractall(tmp_path / "unpacked")
        files = [path.read_bytes() for path in (tmp_path / "unpacked").glob("*.dcm")]
        after = [read_header(body, complete=True) for body in files]
        before = [
            header_of(dataset)
            for dataset in PATIENT.datasets
            if str(dataset.SOPInstanceUID) in PLAN.roles
        ]
        assert shape([header for header in after if header is not None]) == shape(before)


REAL = Path(__file__).parents[2].parent / "shared/data/rt"


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real objects is not there")
async def test_real_patients_leave_whole_with_the_references_that_they_had(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "objects")
    patients: dict[str, dict[str, InstanceHeader]] = {}
    for path in sorted(path for path in REAL.rglob("*") if path.is_file()):
        body = path.read_bytes()
        try:
            header = read_header(body, complete=True)
        except Rejected:
            continue
        if header is not None and header.patient_id:
            key = object_key(header.ref, hashlib.sha256(body).hexdigest())
            store.put(str(key), [body])
            patients.setdefault(header.patient_id, {})[str(key)] = header
    assert patients
    async with export_world(tmp_path, (), Given(store=store)) as world:
        for patient_id, before in patients.items():
            export = await world.export(
                {"patient": patient_id},
                anonymise={"allow_burned_in": [kind.value for kind in BurnedIn]},
            )

            assert export["state"] == "complete", export
            assert export["files"] == len(before)
            after = list(headers(world, export["prefix"]))
            assert shape(after) == shape(list(before.values()))
            assert patient_id not in {header.patient_id for header in after}


# ── who became whom ─────────────────────────────────────────────────────────────────────────


def map_of(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


async def test_the_map_is_sealed_to_the_certificate_and_says_who_became_whom(
    tmp_path: Path,
) -> None:
    holder = recipient(tmp_path)
    maps = DirectoryStore(tmp_path / "maps")
    sink = SealedMaps(maps, load_certificates(holder.cert_file))
    async with export_world(tmp_path, PATIENT.datasets, Given(maps=sink)) as world:
        export = await world.export(**ORDER)

        [key] = [stat.key for stat in maps.list(MAPS)]
        sealed = maps.get(key)
        opener = load_opener(holder.cert_file, holder.key_file, None)
        [line] = map_of(unseal(sealed, *opener))
        maps.close()
        assert key == f"maps/default/{export['id']}/anonymization_map.csv.p7m"
        quiet(sealed)
        assert line["OriginalPatientId"] == "CANARY-FIRST"
        assert line["OriginalPatientName"] == "CANARYNAME^CANARYGIVEN"
        assert line["AnonymizedPatientId"] == "NEW"
        said = world.manifest(export).anonymization
        assert said is not None
        assert said.pseudonym_map == export["pseudonym_map"] == SEALED


async def test_the_originals_go_along_for_the_key_holder_and_for_nobody_else(
    tmp_path: Path,
) -> None:
    holder = recipient(tmp_path)
    maps = DirectoryStore(tmp_path / "maps")
    sink = SealedMaps(maps, load_certificates(holder.cert_file))
    async with export_world(tmp_path, PATIENT.datasets, Given(maps=sink)) as world:
        anonymise = {**ORDER["anonymise"], "encrypt_attributes": True}
        export = await world.export(ORDER["selection"], anonymise=anonymise)

        objects = world.objects(export["prefix"])
        bodies = [body for key, body in objects.items() if key.endswith(".dcm")]
        for body in bodies:
            quiet(body)
        certificate, key = load_opener(holder.cert_file, holder.key_file)
        opener = partial(unseal, certificate=certificate, key=key)
        restored = [dcmread(io.BytesIO(recovered(body, opener))) for body in bodies]
        originals = {str(dataset.SOPInstanceUID): dataset for dataset in PATIENT.datasets}
        assert {str(dataset.SOPInstanceUID) for dataset in restored} == set(originals)
        for dataset in restored:
            assert dataset == originals[dataset.SOPInstanceUID]
    maps.close()


async def test_without_a_certificate_the_originals_do_not_go_along(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        anonymise = {**ORDER["anonymise"], "encrypt_attributes": True}
        order = {"selection": ORDER["selection"], "anonymise": anonymise}
        order["destination"] = {"zip": True}

        refused = await world.ask("POST", "/v1/exports", status=422, json=order)

        assert "INDEXER_EXPORT_MAP_CERTIFICATE" in refused["detail"]


@pytest.mark.parametrize(
    ("asked", "apart", "where", "said"),
    [
        ({}, False, "nowhere", "not written"),
        ({}, True, "apart", APART),
        ({"plain_map": True}, False, "beside", "not encrypted, as asked for"),
        ({"plain_map": True}, True, "beside", "not encrypted, as asked for"),
    ],
)
async def test_a_map_is_plain_only_where_few_may_read_or_where_that_was_asked_for(
    tmp_path: Path, asked: dict[str, Any], apart: bool, where: str, said: str
) -> None:
    maps = DirectoryStore(tmp_path / "maps")
    given = Given(maps=PlainMaps(maps, APART)) if apart else Given()
    async with export_world(tmp_path, PATIENT.datasets, given) as world:
        export = await world.export(ORDER["selection"], anonymise={**ORDER["anonymise"], **asked})

        stores: dict[str, ObjectStore] = {"apart": maps, "beside": world.exports}
        found = {name: [s.key for s in store.list(MAPS)] for name, store in stores.items()}
        assert {name for name, keys in found.items() if keys} == {where} - {"nowhere"}
        assert said in export["pseudonym_map"]
        # never inside of what is handed on
        assert not [key for key in world.objects(export["prefix"]) if "map" in key]
    maps.close()


async def test_a_map_that_cannot_be_kept_keeps_the_export_back(tmp_path: Path) -> None:
    class Expired:
        seal = None

        def keep(self, _name: str, _body: bytes) -> str:
            raise InvalidRequest("the certificate is not valid now")

    sink: MapSink = Expired()
    async with export_world(tmp_path, PATIENT.datasets, Given(maps=sink)) as world:
        export = await world.export(**ORDER)

        assert export["state"] == "failed"
        assert export["problem"] == "the certificate is not valid now"
        assert world.objects() == {}


async def test_without_a_pseudonym_one_is_derived_by_the_key(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        ids = set()
        for _ in range(2):
            export = await world.export(
                {"plans": [PLAN.sop_instance_uid]}, anonymise={"allow_burned_in": ["rt_image"]}
            )
            ids |= {header.patient_id for header in headers(world, export["prefix"])}

        assert ids == {UIDS.pseudonym(PATIENT.patient_id)}
        assert KEY.decode() not in "".join(world.said)


async def test_retained_uids_stay(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        export = await world.export(
            {"plans": [PLAN.sop_instance_uid, "1.2.3.4"]},
            anonymise={**ORDER["anonymise"], "options": ["RetainUIDs", "CleanDesc"]},
        )

        assert {str(h.ref.sop_instance_uid) for h in headers(world, export["prefix"])} == set(
            PLAN.roles
        )
        assert [one["uid"] for one in export["not_there"]] == ["1.2.3.4"]


async def test_an_object_of_somebody_else_under_a_known_uid_does_not_leave(tmp_path: Path) -> None:
    """A corrected Patient ID: the older version is another patient's, and not part of it."""
    wrong, right = factories.versions(factories.plan(), 2)
    wrong.PatientID = "SOMEBODY ELSE"
    async with export_world(tmp_path, [wrong, right]) as world:
        export = await world.export({"patient": str(right.PatientID)}, anonymise=ORDER["anonymise"])

        assert export["files"] == 1
        keys = [parse_object_key(s.key) for s in world.store.list("instances/")]
        assert len(keys) == 2
