"""Exports over HTTP on embedded parts: what is selected arrives, whole, once, and is said to be there last."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydicom import dcmread

from dicomcore.deident import BurnedIn
from dicomcore.events import ExportCompleted, ExportFailed
from dicomcore.export import MANIFEST_NAME
from dicomcore.header import read_header
from dicomcore.keys import parse_object_key
from dicomio.local_kv import LocalKeyValue
from dicomio.peer_book import BUCKET as PEERS_BUCKET
from dicomio.peer_book import PeerBook
from dicomio.peers import Peers, PeerSettings
from tests import factories
from tests.export_world import PEER, UIDS, ExportWorld, Given, export_world, working
from tests.indexer_world import eventually, published

PATIENT = factories.small_patient(patient_id="ORIGINAL-77", plans=2)
OTHER = factories.small_patient(patient_id="SECOND-88", plans=1, seed=2)
PLAN = next(PATIENT.plans_with("PLAN_1"))
DRRS_TOO = {"allow_burned_in": [BurnedIn.RT_IMAGE]}


def uids_of(world: ExportWorld, export: dict[str, Any]) -> set[str]:
    return {entry.sop_instance_uid for entry in world.manifest(export).instances}


def sop_uids(archive: zipfile.ZipFile) -> set[str]:
    return {
        str(dcmread(io.BytesIO(archive.read(name)), stop_before_pixels=True).SOPInstanceUID)
        for name in archive.namelist()
        if name != MANIFEST_NAME
    }


def exchange(folder: Path, key: str, body: bytes) -> None:
    """Put other bytes where a store on a folder keeps an object."""
    [path] = [path for path in folder.rglob("*.dcm") if path.name.endswith(key.rpartition("/")[2])]
    path.chmod(0o600)
    path.write_bytes(body)


# ── what is selected ────────────────────────────────────────────────────────────────────────


async def test_a_plan_brings_what_its_maker_attached_to_it_and_nothing_else(tmp_path: Path) -> None:
    patient = factories.small_twelve_plans()
    async with export_world(tmp_path, patient.datasets) as world:
        for plan in patient.plans:
            export = await world.export({"plans": [plan.sop_instance_uid]})

            assert uids_of(world, export) == set(plan.roles), plan.label
            dangling = {one.uid for one in world.manifest(export).dangling}
            assert dangling == set(plan.dangling), plan.label
            assert export["state"] == ("partial" if plan.dangling else "complete"), plan.label


async def test_objects_are_as_they_landed_with_their_digests_in_the_manifest(
    tmp_path: Path,
) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        export = await world.export({"plans": [PLAN.sop_instance_uid]})

        originals = {
            parse_object_key(stat.key).ref.sop_instance_uid: world.store.get(stat.key)
            for stat in world.store.list("instances/")
        }
        manifest = world.manifest(export)
        assert export["prefix"] == f"exports/default/{export['id']}/"
        assert manifest.anonymization is None
        assert manifest.request.selection == "plans"
        assert [plan.label for plan in manifest.plans] == ["PLAN_1"]
        for entry in manifest.instances:
            body = world.exports.get(export["prefix"] + entry.file)
            assert body == originals[entry.sop_instance_uid]
            assert hashlib.sha256(body).hexdigest() == entry.sha256
            assert entry.why
        files = {key.removeprefix(export["prefix"]) for key in world.objects(export["prefix"])}
        assert files == {entry.file for entry in manifest.instances} | {MANIFEST_NAME}


@pytest.mark.parametrize(
    "selection",
    [
        {"patient": "ORIGINAL-77"},
        {"query": {"tag": ["PatientID=ORIGINAL-77"]}},
        {"query": {"tag": ["Modality=?"], "patient_id": "ORIGINAL-77"}},
        {"instances": [str(dataset.SOPInstanceUID) for dataset in PATIENT.datasets]},
    ],
    ids=["patient", "query", "query in a scope", "instances"],
)
async def test_a_patient_is_the_same_however_it_is_named(
    tmp_path: Path, selection: dict[str, Any]
) -> None:
    async with export_world(tmp_path, [*PATIENT.datasets, *OTHER.datasets]) as world:
        export = await world.export(selection)

        assert uids_of(world, export) == {str(d.SOPInstanceUID) for d in PATIENT.datasets}
        assert export["state"] == "complete"
        assert all(entry.sop_class_uid for entry in world.manifest(export).instances)


async def test_what_nobody_knows_is_missing_and_makes_the_export_partial(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        known = str(PATIENT.datasets[0].SOPInstanceUID)

        export = await world.export({"instances": [known, "1.2.3.4"]})

        assert export["state"] == "partial"
        assert [(one["uid"], one["reason"]) for one in export["not_there"]] == [
            ("1.2.3.4", "it is not in the index")
        ]
        assert uids_of(world, export) == {known}


async def test_an_object_that_is_gone_from_the_store_is_missing(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        dose = next(uid for uid, role in PLAN.roles.items() if role is factories.Role.DOSE)
        [key] = [s.key for s in world.store.list("instances/") if f"/{dose}/" in s.key]
        world.store.delete(key)

        export = await world.export({"plans": [PLAN.sop_instance_uid]})

        assert export["state"] == "partial"
        assert [one["uid"] for one in export["not_there"]] == [dose]
        assert uids_of(world, export) == set(PLAN.roles) - {dose}


@pytest.mark.parametrize(
    "selection",
    [{"patient": "NOBODY"}, {"plans": ["1.2.3.4"]}, {"query": {"tag": ["PatientID=NOBODY"]}}],
    ids=["patient", "plans", "query"],
)
async def test_an_export_of_nothing_has_failed(tmp_path: Path, selection: dict[str, Any]) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        export = await world.export(selection)

        assert export["state"] == "failed"
        assert list(world.objects(export["prefix"])) == [export["prefix"] + MANIFEST_NAME]
        [event] = await published(world.bus, ExportFailed, 1)
        assert event.data == {"job_id": export["id"], "tenant": "default", "state": "failed"}


async def test_an_image_is_no_plan(tmp_path: Path) -> None:
    image = next(uid for uid, role in PLAN.roles.items() if role is factories.Role.IMAGE)
    async with export_world(tmp_path, PATIENT.datasets) as world:
        export = await world.export({"plans": [PLAN.sop_instance_uid, image]})

        assert export["state"] == "partial"
        assert [one["reason"] for one in export["not_there"]] == ["it is no plan"]


async def test_every_version_is_exported_the_newest_under_the_plain_name(tmp_path: Path) -> None:
    first, second = factories.versions(factories.plan(), 2)
    async with export_world(tmp_path, [first, second]) as world:
        export = await world.export({"instances": [factories.PLAN_UID]})

        manifest = world.manifest(export)
        assert [entry.newest for entry in manifest.instances].count(True) == 1
        assert len({entry.file for entry in manifest.instances}) == 2
        assert export["instances"] == 1
        assert export["files"] == 2


async def test_a_rotten_object_ends_an_export_with_nothing_of_it_left(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        plan = next(s.key for s in world.store.list("instances/") if PLAN.sop_instance_uid in s.key)
        exchange(tmp_path / "objects", plan, b"rot")

        export = await world.export({"plans": [PLAN.sop_instance_uid]})

        assert export["state"] == "failed"
        assert export["problem"] == "object is not what its key says"
        assert world.objects() == {}


# ── how it is told ──────────────────────────────────────────────────────────────────────────


async def test_progress_ends_with_the_end_and_an_event_says_so(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        job_id = await world.order({"plans": [PLAN.sop_instance_uid]})

        stream = await world.follow(job_id)

        last = json.loads(stream.strip().rpartition("data: ")[2])
        assert "event: end" in stream
        assert last["state"] == "complete"
        assert last["progress"]["landed"] == len(PLAN.roles)
        [event] = await published(world.bus, ExportCompleted, 1)
        manifest = world.manifest(await world.ended(job_id))
        assert event.source == "indexer"
        assert event.data == {
            "job_id": job_id,
            "tenant": "default",
            "state": "complete",
            "instances": len(PLAN.roles),
            "missing": 0,
            "bytes_moved": sum(entry.size_bytes for entry in manifest.instances),
        }


async def test_the_audit_trail_names_the_patient_of_a_plan(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        export = await world.export({"plans": [PLAN.sop_instance_uid]})

        async def told() -> bool:
            return len([act for act in world.acts if ("id", export["id"]) in act.objects]) == 2

        await eventually(told)
        started, ended = world.acts
        assert started.patient_ids == ("ORIGINAL-77",)
        assert (started.operation, started.action) == ("export", "R")
        assert (ended.operation, ended.action, ended.reason) == ("export", "E", "complete")
        ordered = next(one for one in world.audited if one.operation_id == "createExport")
        assert ("id", export["id"]) in ordered.notes.objects


async def test_the_same_key_is_the_same_export_and_another_order_under_it_is_refused(
    tmp_path: Path,
) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        plans = {"plans": [PLAN.sop_instance_uid]}

        first = await world.order(plans, key="k-1")
        again = await world.order(plans, key="k-1")
        another = await world.order(plans, key="k-2")

        assert first == again != another
        order = {"selection": {"patient": "ORIGINAL-77"}, "destination": {"zip": True}}
        await world.ask(
            "POST", "/v1/exports", status=422, json=order, headers={"Idempotency-Key": "k-1"}
        )
        for job_id in (first, another):
            await world.ended(job_id)


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"selection": {"plans": []}, "destination": {"zip": True}}, 422),
        ({"selection": {"plans": ["not a UID"]}, "destination": {"zip": True}}, 422),
        ({"selection": {"plans": ["1.2"], "patient": "x"}, "destination": {"zip": True}}, 422),
        ({"selection": {"patient": "x"}, "destination": {"zip": False}}, 422),
        ({"selection": {"patient": "x"}, "destination": {"bucket": {"prefix": "../x"}}}, 422),
        ({"selection": {"patient": "x"}, "destination": {"bucket": {"prefix": "a//b"}}}, 422),
        ({"selection": {"patient": "x"}, "destination": {"peer": "UNKNOWN"}}, 404),
        ({"selection": {"query": {"tag": ["(0010"]}}, "destination": {"zip": True}}, 422),
        (
            {
                "selection": {"patient": "x"},
                "destination": {"zip": True},
                "anonymise": {"options": ["RetainLongFullDates", "RetainLongModifDates"]},
            },
            422,
        ),
        (
            {
                "selection": {"patient": "x"},
                "destination": {"zip": True},
                "anonymise": {"new_patient_id": "two\\values"},
            },
            422,
        ),
    ],
)
async def test_an_order_that_makes_no_sense_is_refused_before_it_is_a_job(
    tmp_path: Path, order: dict[str, Any], status: int
) -> None:
    async with export_world(tmp_path) as world:
        problem = await world.ask("POST", "/v1/exports", status=status, json=order)

        assert problem["type"].startswith("urn:problem:dicomtools:")
        listed = await world.ask("GET", "/v1/exports", status=200)
        assert listed["exports"] == []


async def test_without_a_key_nothing_is_anonymised(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets, Given(key=None)) as world:
        order = {"selection": {"patient": "x"}, "destination": {"zip": True}, "anonymise": {}}

        problem = await world.ask("POST", "/v1/exports", status=422, json=order)

        assert "INDEXER_DEIDENT_KEY_FILE" in problem["detail"]


# ── what can be fetched ─────────────────────────────────────────────────────────────────────


async def test_the_archive_holds_the_manifest_and_every_file_and_is_the_same_twice(
    tmp_path: Path,
) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        export = await world.export({"plans": [PLAN.sop_instance_uid]})
        url = f"{world.url}/v1/exports/{export['id']}/zip"

        async with world.session.get(url) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "application/zip"
            assert f"export-{export['id']}.zip" in answer.headers["Content-Disposition"]
            body = await answer.read()
        async with world.session.get(url) as answer:
            again = await answer.read()

        archive = zipfile.ZipFile(io.BytesIO(body))
        assert archive.testzip() is None
        manifest = world.manifest(export)
        assert archive.namelist() == [
            MANIFEST_NAME,
            *sorted(entry.file for entry in manifest.instances),
        ]
        assert sop_uids(archive) == set(PLAN.roles)
        assert body == again


async def test_an_archive_of_an_object_that_was_exchanged_is_cut_off(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        export = await world.export({"plans": [PLAN.sop_instance_uid]})
        entry = max(world.manifest(export).instances, key=lambda one: one.file)
        exchange(tmp_path / "exports", entry.file, bytes(entry.size_bytes))

        url = f"{world.url}/v1/exports/{export['id']}/zip"
        with pytest.raises(aiohttp.ClientError):
            async with world.session.get(url) as answer:
                await answer.read()


async def test_a_caller_who_leaves_in_the_middle_of_an_archive_harms_nobody(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        export = await world.export({"patient": "ORIGINAL-77"})
        url = f"{world.url}/v1/exports/{export['id']}/zip"
        for _ in range(12):  # more than there are threads
            async with world.session.get(url) as answer:
                await answer.content.readexactly(10)
                answer.close()

        async with world.session.get(url) as answer:
            assert zipfile.ZipFile(io.BytesIO(await answer.read())).testzip() is None


async def test_items_are_paged_and_without_an_address_where_the_store_has_none(
    tmp_path: Path,
) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        export = await world.export({"plans": [PLAN.sop_instance_uid]})
        path = f"/v1/exports/{export['id']}/items"
        items: list[dict[str, Any]] = []
        cursor = ""
        while cursor is not None:
            params = {"limit": "4", "cursor": cursor}
            page = await world.ask("GET", path, status=200, params=params)
            items += page["items"]
            cursor = page["next"]

        manifest = world.manifest(export)
        assert [item["file"] for item in items] == sorted(e.file for e in manifest.instances)
        assert {item["url"] for item in items} == {None}
        told = await world.ask("GET", f"/v1/exports/{export['id']}/manifest", status=200)
        assert told == json.loads(manifest.model_dump_json())


async def test_before_its_end_an_export_has_no_content(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets, Given(running=False)) as world:
        job_id = await world.order({"patient": "ORIGINAL-77"})

        for what in ("manifest", "items", "zip"):
            await world.ask("GET", f"/v1/exports/{job_id}/{what}", status=404)
        cancelled = await world.ask("POST", f"/v1/exports/{job_id}/cancel", status=202)
        assert cancelled["state"] == "cancelled"


async def test_what_a_dead_replica_left_of_a_cancelled_export_is_removed(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets, Given(running=False)) as world:
        job_id = await world.order({"patient": "ORIGINAL-77"})
        neighbour = f"exports/default/{'f' * 32}/RP.1.2.dcm"
        for key in (f"exports/default/{job_id}/RP.1.2.dcm", neighbour):
            world.exports.put(key, [b"x"])
        await world.ask("POST", f"/v1/exports/{job_id}/cancel", status=202)

        async with working(world.exporter):
            [event] = await published(world.bus, ExportFailed, 1)

        assert event.data["job_id"] == job_id
        assert list(world.objects()) == [neighbour]


# ── to a peer ───────────────────────────────────────────────────────────────────────────────


async def test_a_peer_is_sent_all_of_it_nothing_before_what_it_references(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        export = await world.export({"plans": [PLAN.sop_instance_uid]}, destination={"peer": PEER})

        assert export["state"] == "complete"
        assert set(world.pacs.stored) == set(PLAN.roles)
        order = list(world.pacs.stored)
        roles = {
            role: [order.index(u) for u, r in PLAN.roles.items() if r is role]
            for role in set(PLAN.roles.values())
        }
        assert max(roles[factories.Role.IMAGE]) < roles[factories.Role.STRUCTURE_SET][0]
        assert roles[factories.Role.STRUCTURE_SET][0] < roles[factories.Role.PLAN][0]
        assert list(world.objects(export["prefix"])) == [export["prefix"] + MANIFEST_NAME]
        await world.ask("GET", f"/v1/exports/{export['id']}/zip", status=409)


async def test_a_peer_that_is_kept_on_the_server_is_a_destination_too(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        order = {"selection": {"patient": "ORIGINAL-77"}, "destination": {"peer": "LATER"}}
        await world.ask("POST", "/v1/exports", status=404, json=order)
        kv = await LocalKeyValue.open(tmp_path / "jobs.db", PEERS_BUCKET)
        book = PeerBook(Peers({}), kv, lambda _: world.pacs)
        await book.put("LATER", PeerSettings(ae_title="LATER", host="later.invalid", port=104))
        await kv.close()

        export = await world.export(order["selection"], destination=order["destination"])

        assert export["state"] == "complete"
        assert len(world.pacs.stored) == len(PATIENT.datasets)


async def test_what_a_peer_refuses_is_missing(tmp_path: Path) -> None:
    record = next(uid for uid, role in PLAN.roles.items() if role is factories.Role.RECORD)
    async with export_world(tmp_path, PATIENT.datasets) as world:
        world.pacs.refused.add(record)

        export = await world.export({"plans": [PLAN.sop_instance_uid]}, destination={"peer": PEER})

        assert export["state"] == "partial"
        assert record in {one["uid"] for one in export["not_there"]}
        assert record not in uids_of(world, export)


# ── anonymised ──────────────────────────────────────────────────────────────────────────────


async def test_an_anonymised_plan_is_the_same_plan_under_new_names(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        export = await world.export(
            {"plans": [PLAN.sop_instance_uid]},
            anonymise={"new_patient_id": "NEW", "new_patient_name": "NEW^NAME", **DRRS_TOO},
        )

        assert export["state"] == "complete", export
        assert uids_of(world, export) == {UIDS.uid(uid) for uid in PLAN.roles}
        for key, body in world.objects(export["prefix"]).items():
            if key.endswith(".dcm"):
                header = read_header(body, complete=True)
                assert header is not None
                assert header.patient_id == "NEW"
                assert header.patient_name == "NEW^NAME"
        said = world.manifest(export).anonymization
        assert said is not None
        assert said.profile == "AriaSecurityProfile.csv"
        assert "not written" in said.pseudonym_map == export["pseudonym_map"]


async def test_several_patients_are_numbered_in_the_order_of_their_ids(tmp_path: Path) -> None:
    async with export_world(tmp_path, [*OTHER.datasets, *PATIENT.datasets]) as world:
        export = await world.export(
            {"query": {"tag": ["Modality=RTPLAN"]}}, anonymise={"new_patient_id": "NEW"}
        )

        ids = {}
        for key, body in world.objects(export["prefix"]).items():
            if key.endswith(".dcm"):
                header = read_header(body, complete=True)
                assert header is not None
                ids[str(header.ref.sop_instance_uid)] = header.patient_id
        assert ids == {
            **{UIDS.uid(p.sop_instance_uid): "NEW-01" for p in PATIENT.plans},
            **{UIDS.uid(p.sop_instance_uid): "NEW-02" for p in OTHER.plans},
        }


async def test_one_object_that_is_held_back_keeps_all_of_them_back(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        plans = {"plans": [PLAN.sop_instance_uid]}

        export = await world.export(plans, anonymise={})

        assert export["state"] == "failed"
        assert {fault for held in export["quarantined"] for fault in held["faults"]} == {
            "burned_in:rt_image"
        }
        assert list(world.objects(export["prefix"])) == [export["prefix"] + MANIFEST_NAME]
        counted = world.registry.get_sample_value(
            "export_objects_held_back_total", {"why": "burned_in"}
        )
        assert counted == len(export["quarantined"])

        export = await world.export(plans, anonymise={"allow_partial": True})

        held = {one["sop_instance_uid"] for one in export["quarantined"]}
        assert export["state"] == "partial"
        assert uids_of(world, export) == {UIDS.uid(uid) for uid in PLAN.roles} - held


async def test_two_exports_of_one_plan_under_one_key_are_the_same_bytes(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        contents = []
        for _ in range(2):
            export = await world.export({"plans": [PLAN.sop_instance_uid]}, anonymise=DRRS_TOO)
            objects = world.objects(export["prefix"])
            contents.append(
                {
                    key.removeprefix(export["prefix"]): body
                    for key, body in objects.items()
                    if key.endswith(".dcm")
                }
            )

        assert contents[0] == contents[1]


async def test_a_prefix_or_name_that_tells_who_it_was_is_refused(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        for how in (
            {"destination": {"bucket": {"prefix": "for-ORIGINAL-77"}}, "anonymise": DRRS_TOO},
            {"anonymise": {"new_patient_id": "x-original-77", **DRRS_TOO}},
        ):
            export = await world.export({"plans": [PLAN.sop_instance_uid]}, **how)

            assert export["state"] == "failed"
            assert "identifier of the patient" in export["problem"]
        assert world.objects() == {}


async def test_jobs_of_exports_share_nothing_with_their_neighbours(tmp_path: Path) -> None:
    async with export_world(tmp_path, PATIENT.datasets) as world:
        plans = [plan.sop_instance_uid for plan in PATIENT.plans]

        exports = await asyncio.gather(
            *(
                world.export({"plans": [uid]}, destination={"bucket": {"prefix": "a/b"}})
                for uid in plans
            )
        )

        for plan, export in zip(PATIENT.plans, exports, strict=True):
            assert export["prefix"] == f"exports/default/a/b/{export['id']}/"
            assert uids_of(world, export) == set(plan.roles)
