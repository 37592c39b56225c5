"""Plans, patients, headers and thumbnails over HTTP, as the web page asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence as Items

from dicomio.http import make_app, serve
from indexer.reindex import reindex
from tests.indexer_world import World, embedded_parts, image, land, land_bytes, plan, running
from tests.indexer_world import structure_set as structures_of


@dataclass
class Client:
    """GET below one address."""

    session: aiohttp.ClientSession
    url: str
    world: World

    async def get(self, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
        async with self.session.get(self.url + path, headers=headers) as response:
            return response, await response.read()

    async def json(self, path: str, status: int = 200) -> dict[str, Any]:
        async with self.session.get(self.url + path) as response:
            assert response.status == status, await response.text()
            answer: dict[str, Any] = await response.json(content_type=None)
            return answer

    async def take(self, *datasets: Dataset) -> None:
        for ds in datasets:
            land(self.world.store, ds)
        await reindex(self.world.store, self.world.index)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with embedded_parts(tmp_path) as world, running(world):
        app = make_app(
            "indexer",
            "0",
            world.indexer.routes(),
            metrics_registry=world.registry,
            checks=world.indexer.checks(),
        )
        server = await serve(app, "127.0.0.1", 0)
        async with aiohttp.ClientSession() as session:
            yield Client(session, server.url, world)
        await server.stop()


def _item(**values: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def planned(uid: str, label: str, *, dose: float, patient_id: str = "P-1") -> Dataset:
    ds = plan(uid, structures="1.2.3.20", label=label, patient_id=patient_id)
    ds.PatientBirthDate, ds.PatientSex = "19600102", "F"
    ds.ReviewerName, ds.ReviewDate = "Doe^Jane", "20240506"
    ds.DoseReferenceSequence = Items(
        [_item(DoseReferenceType="TARGET", TargetPrescriptionDose=dose)]
    )
    ds.FractionGroupSequence = Items([_item(NumberOfFractionsPlanned=30)])
    return ds


def structures(*names: str) -> Dataset:
    ds = structures_of("1.2.3.20")
    ds.StructureSetROISequence = Items(
        [_item(ROINumber=number, ROIName=name) for number, name in enumerate(names, 1)]
    )
    return ds


def picture(uid: str = "1.2.3.10") -> Dataset:
    ds = image(uid)
    ds.Rows = ds.Columns = 16
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.SamplesPerPixel, ds.PixelRepresentation = 7, 1, 0
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = bytes(range(256))
    ds["PixelData"].VR = "OW"
    return ds


# ── plans ───────────────────────────────────────────────────────────────────────────────────


async def test_a_plan_is_told_with_what_its_structure_set_adds(client: Client) -> None:
    await client.take(planned("1.2.3.30", "PROST_1", dose=60), structures("PTV", "Cord"))

    answer = await client.json("/v1/plans")

    assert (answer["total"], answer["next"], answer["complete"]) == (1, None, True)
    [row] = answer["plans"]
    told = {
        "patient_id": "P-1",
        "patient_sex": "F",
        "patient_birth_date": "19600102",
        "rt_plan_label": "PROST_1",
        "approval_status": "APPROVED",
        "reviewer_name": "Doe^Jane",
        "total_dose_gy": 60.0,
        "dose_per_fraction_gy": 2.0,
        "number_of_fractions_planned": 30,
        "has_structure_set": True,
        "structure_names": ["Cord", "PTV"],
        "has_treatment": False,
        "conflict": False,
    }
    assert {name: row[name] for name in told} == told


async def test_plans_are_filtered_sorted_and_paged(client: Client) -> None:
    doses = (50.0, 60.0, 66.0, 70.0, 8.0)
    await client.take(
        *(planned(f"1.2.3.3{n}", f"PLAN {n}", dose=dose) for n, dose in enumerate(doses))
    )

    first = await client.json("/v1/plans?total_dose=45..&sort=-total_dose&limit=3&approver=jane")
    second = await client.json(
        f"/v1/plans?total_dose=45..&sort=-total_dose&limit=3&approver=jane&cursor={first['next']}"
    )

    assert [row["total_dose_gy"] for row in first["plans"]] == [70.0, 66.0, 60.0]
    assert [row["total_dose_gy"] for row in second["plans"]] == [50.0]
    assert (first["total"], second["total"], second["next"]) == (4, 4, None)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("label=one", ["ONE"]),
        ("label=o*", ["ONE"]),
        ("label=one&label=two", ["ONE", "TWO"]),
        ("label=", ["ONE", "TWO"]),
        ("patient_id=P-2", ["TWO"]),
        ("patient=p-", ["ONE", "TWO"]),
        ("approval=approved", ["ONE", "TWO"]),
        ("approval=prove", []),
        ("approved=20240501-20240531", ["ONE", "TWO"]),
        ("approved=20240507-", []),
        ("total_dose=60", ["ONE"]),
        ("total_dose=..10&total_dose=55..65", ["ONE", "TWO"]),
        ("has_treatment=true", []),
        ("has_structure_set=false", ["ONE", "TWO"]),
        ("study_instance_uid=1.2.3", ["ONE", "TWO"]),
        ("sop_instance_uid=1.2.3.31", ["TWO"]),
        ("birth_date=19600102", ["ONE", "TWO"]),
    ],
)
async def test_every_kind_of_criterion_restricts(
    client: Client, query: str, found: list[str]
) -> None:
    await client.take(
        planned("1.2.3.30", "ONE", dose=60),
        planned("1.2.3.31", "TWO", dose=8, patient_id="P-2"),
    )

    answer = await client.json(f"/v1/plans?sort=label&{query}")

    assert [row["rt_plan_label"] for row in answer["plans"]] == found


@pytest.mark.parametrize(
    "query",
    [
        *(
            "total_dose=a",
            "total_dose=70..50",
            "approved=yesterday",
            "sort=nothing",
            "sort=--label",
        ),
        *("limit=0", "cursor=x", "unknown=1", "has_treatment=perhaps"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/plans", "/v1/patients"])
async def test_what_cannot_be_asked_is_a_problem(client: Client, path: str, query: str) -> None:
    answer = await client.json(f"{path}?{query}", status=422)

    assert answer["status"] == 422


async def test_a_cursor_of_another_order_is_refused(client: Client) -> None:
    await client.take(planned("1.2.3.30", "ONE", dose=60), planned("1.2.3.31", "TWO", dose=8))

    first = await client.json("/v1/plans?sort=label&limit=1")

    await client.json(f"/v1/plans?sort=-label&limit=1&cursor={first['next']}", status=422)
    await client.json(f"/v1/patients?cursor={first['next']}", status=422)


# ── patients ────────────────────────────────────────────────────────────────────────────────


async def test_patients_are_found_and_counted(client: Client) -> None:
    await client.take(
        planned("1.2.3.30", "ONE", dose=60), image("1.2.3.10"), image("1.2.3.11", patient_id="Q-2")
    )

    with_plans = await client.json("/v1/patients?has_plans=true")
    by_id = await client.json("/v1/patients?id=q-&modality=CT")

    [one] = with_plans["patients"]
    assert (one["patient_id"], one["number_of_plans"], one["number_of_instances"]) == ("P-1", 1, 2)
    assert (one["patient_sex"], one["patient_birth_date"]) == ("F", "19600102")
    assert with_plans["total"] == 1
    assert [row["patient_id"] for row in by_id["patients"]] == ["Q-2"]


# ── one object ──────────────────────────────────────────────────────────────────────────────


async def test_a_header_is_told_as_rows(client: Client) -> None:
    await client.take(planned("1.2.3.30", "ONE", dose=60))

    answer = await client.json("/v1/instances/1.2.3.30/attributes")

    rows = {row["tag"]: row for row in answer["attributes"]}
    assert not answer["cut"]
    assert rows["(300A,0002)"]["keyword"] == "RTPlanLabel"
    assert rows["(300A,0002)"]["values"] == ["ONE"]
    [[kind, dose]] = rows["(300A,0010)"]["items"]
    assert (kind["values"], dose["values"]) == (["TARGET"], ["60.0"])


async def test_each_version_has_its_own_header(client: Client) -> None:
    await client.take(planned("1.2.3.30", "ONE", dose=60), planned("1.2.3.30", "TWO", dose=60))
    versions = (await client.json("/v1/instances/1.2.3.30"))["versions"]

    labels = set()
    for version in versions:
        digest = version["sha256"][:16]
        answer = await client.json(f"/v1/instances/1.2.3.30/attributes?version={digest}")
        assert answer["object_key"] == version["object_key"]
        labels |= {
            row["values"][0] for row in answer["attributes"] if row["keyword"] == "RTPlanLabel"
        }

    assert labels == {"ONE", "TWO"}
    assert (await client.json("/v1/plans"))["plans"][0]["conflict"]


async def test_an_image_has_a_thumbnail_that_is_not_sent_twice(client: Client) -> None:
    await client.take(picture())
    path = "/v1/instances/1.2.3.10/thumbnail?size=32"

    first, png = await client.get(path)
    again, nothing = await client.get(path, **{"If-None-Match": first.headers["ETag"]})
    larger, _ = await client.get(path.replace("32", "64"))

    assert (first.status, first.content_type) == (200, "image/png")
    assert png.startswith(b"\x89PNG")
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert (again.status, nothing) == (304, b"")
    assert larger.headers["ETag"] != first.headers["ETag"]


async def test_what_has_no_picture_is_a_problem(client: Client) -> None:
    await client.take(planned("1.2.3.30", "ONE", dose=60))
    land_bytes(client.world.store, "1.2.3.66", b"no DICOM")
    await reindex(client.world.store, client.world.index)

    plan_problem = await client.json("/v1/instances/1.2.3.30/thumbnail", status=422)
    await client.json("/v1/instances/1.2.3.66/thumbnail", status=422)
    await client.json("/v1/instances/1.2.3.66/attributes", status=422)

    assert plan_problem["detail"] == "the instance has no pixel data"


@pytest.mark.parametrize("what", ["attributes", "thumbnail"])
async def test_unknown_instances_and_versions_are_not_found(client: Client, what: str) -> None:
    await client.take(picture())

    await client.json(f"/v1/instances/1.2.3.99/{what}", status=404)
    await client.json(f"/v1/instances/1.2.3.10/{what}?version={'0' * 16}", status=404)
    await client.json(f"/v1/instances/1.2.3.10/{what}?version=zz", status=422)
    await client.json(f"/v1/instances/no-uid/{what}", status=422)
