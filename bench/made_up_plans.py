"""Made-up patients with plans, structure sets and treatment records, as the index takes them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from dicomcore.attributes import Attribute
from dicomcore.keys import object_key
from dicomcore.model import (
    Beam,
    Details,
    InstanceHeader,
    Kind,
    PlanDetails,
    Prescription,
    RecordDetails,
    Reference,
    Relation,
    StructureSetDetails,
    TreatedBeam,
)
from dicomcore.ports import IndexedInstance
from dicomcore.uids import parse_ref

SITES = (
    "PROSTATE",
    "BREAST L",
    "BREAST R",
    "LUNG",
    "HEAD NECK",
    "BRAIN",
    "RECTUM",
    "CERVIX",
    "BONE",
)
ORGANS = (
    "Bladder",
    "Rectum",
    "Heart",
    "Lung L",
    "Lung R",
    "Cord",
    "Parotid L",
    "Parotid R",
    "Body",
)
TARGETS = ("PTV", "CTV", "GTV", "PTV boost", "CTV nodes")
MACHINES = (
    ("TB1", "TDS"),
    ("TB2", "TDS"),
    ("HALCYON1", "RDS"),
    ("EDGE", "TDS"),
    ("VERSA", "Versa HD"),
)
ENERGIES = (("6", ""), ("6", "FFF"), ("10", ""), ("10", "FFF"), ("15", ""))
STATUSES = ("APPROVED", "APPROVED", "APPROVED", "UNAPPROVED", "REJECTED")
FAMILIES = (
    "Able",
    "Baker",
    "Charlie",
    "Dog",
    "Easy",
    "Fox",
    "George",
    "How",
    "Item",
    "Jig",
    "King",
)
GIVEN = ("Ann", "Bob", "Cid", "Dee", "Eve", "Fay", "Gus", "Hal", "Ida", "Jon", "Kim", "Lee", "Mia")
DOCTORS = tuple(f"Doctor{n:02d}^Who" for n in range(40))
_PLAN, _STRUCTURES, _RECORD = (f"1.2.840.10008.5.1.4.1.1.481.{n}" for n in (5, 3, 4))
_STORED = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shape:
    """How much there is."""

    patients: int = 10_000
    plans: int = 5
    """Of each patient."""
    records: int = 2
    """Of each plan that was treated: two of three."""


def made_up(shape: Shape, *, seed: int = 8) -> Iterator[IndexedInstance]:
    """Yield every instance, patient after patient."""
    chance = random.Random(seed)  # noqa: S311 # made-up data
    for number in range(shape.patients):
        yield from _Patient(number, chance).instances(shape)


class _Patient:
    def __init__(self, number: int, chance: random.Random) -> None:
        self._number = number
        self._chance = chance
        self._study = f"2.25.{number + 1}"
        self._id = f"P{number:06d}"
        self._name = f"{chance.choice(FAMILIES)}{number % 997}^{chance.choice(GIVEN)}"
        self._born = date(1930, 1, 1) + timedelta(days=chance.randrange(30_000))
        self._sex = chance.choice("MF")

    def instances(self, shape: Shape) -> Iterator[IndexedInstance]:
        site = self._chance.choice(SITES)
        structures = f"{self._study}.1.1"
        yield self._structures(structures)
        for plan in range(shape.plans):
            uid = f"{self._study}.2.{plan + 1}"
            yield self._plan(uid, plan, structures, site)
            if plan % 3 < 2:
                for fraction in range(shape.records):
                    yield self._record(f"{self._study}.3.{plan + 1}.{fraction + 1}", uid, fraction)

    def _structures(self, uid: str) -> IndexedInstance:
        names = (*self._chance.sample(ORGANS, 6), *self._chance.sample(TARGETS, 3))
        attributes = list(self._person())
        for number, name in enumerate(names):
            attributes.append(Attribute("30060020/30060022#", (number,), (str(number + 1),)))
            attributes.append(Attribute("30060020/30060026", (number,), (name,)))
            attributes.append(Attribute("30060080/30060084#", (number,), (str(number + 1),)))
            kind = name[:3] if name in TARGETS else "ORGAN"
            attributes.append(Attribute("30060080/300600A4", (number,), (kind,)))
        details = StructureSetDetails(label="STRUCTS", number_of_rois=len(names))
        return self._one(uid, 1, _STRUCTURES, Kind.STRUCTURE_SET, details, attributes)

    def _plan(self, uid: str, place: int, structures: str, site: str) -> IndexedInstance:
        chance = self._chance
        machine, model = chance.choice(MACHINES)
        energy, fluence = chance.choice(ENERGIES)
        planned = date(2015, 1, 1) + timedelta(days=chance.randrange(3_500))
        status = chance.choice(STATUSES)
        fractions = chance.choice((5, 15, 20, 25, 30, 35))
        beams = chance.choice((1, 2, 2, 3, 5, 9))
        attributes = [
            *self._person(),
            *self._beams(beams, energy, fluence),
            Attribute("00081070", (), (f"Planner{chance.randrange(20)}",)),
            Attribute("300A000E", (), (site,)),
            Attribute("300A0180/00185100", (0,), (chance.choice(("HFS", "HFS", "HFP", "FFS")),)),
        ]
        if status == "APPROVED":
            attributes.append(Attribute("300E0004", (), (f"{planned:%Y%m%d}",)))
            attributes.append(Attribute("300E0005", (), ("120000",)))
            attributes.append(Attribute("300E0008", (), (chance.choice(DOCTORS),)))
        details = PlanDetails(
            label=f"{site[:4]}_{self._number % 1000}_{place + 1}",
            name=f"{site} {place + 1}",
            intent=chance.choice(("CURATIVE", "CURATIVE", "PALLIATIVE", "VERIFICATION")),
            approval_status=status,
            date=f"{planned:%Y%m%d}",
            time="101112",
            beams=tuple(
                Beam(
                    number=number + 1,
                    name=f"B{number + 1}",
                    delivery_type="TREATMENT",
                    technique="DYNAMIC",
                    radiation_type="PHOTON",
                    machine=machine,
                    manufacturer="Maker",
                    model=model,
                    number_of_control_points=chance.randrange(2, 178),
                )
                for number in range(beams)
            ),
            fractions=(fractions,),
            prescriptions=(Prescription("Target", "TARGET", round(fractions * 2.0, 1)),),
        )
        references = (Reference(Relation.STRUCTURE_SET, structures),)
        return self._one(uid, 2, _PLAN, Kind.PLAN, details, attributes, references)

    def _beams(self, count: int, energy: str, fluence: str) -> Iterator[Attribute]:
        is_arc = self._chance.random() < 0.6
        for beam in range(count):
            yield Attribute("300A00B0/300A00C0#", (beam,), (str(beam + 1),))
            yield Attribute("300A00B0/300A00B6/300A00B8", (beam, 0), ("MLCX",))
            yield Attribute("300A00B0/300A00B6/300A00BC#", (beam, 0), ("60",))
            yield Attribute("300A00B0/300A0111/300A0114#", (beam, 0), (energy,))
            direction = "CW" if is_arc else "NONE"
            yield Attribute("300A00B0/300A0111/300A011F", (beam, 0), (direction,))
            if fluence:
                yield Attribute("300A00B0/30020050/30020051", (beam, 0), ("NON_STANDARD",))
                yield Attribute("300A00B0/30020050/30020052", (beam, 0), (fluence,))

    def _record(self, uid: str, plan: str, fraction: int) -> IndexedInstance:
        treated = TreatedBeam(1, "B1", fraction + 1)
        details = RecordDetails(date=f"2024{fraction % 12 + 1:02d}01", beams=(treated,))
        references = (Reference(Relation.PLAN, plan),)
        return self._one(uid, 3, _RECORD, Kind.RECORD, details, list(self._person()), references)

    def _person(self) -> Iterator[Attribute]:
        yield Attribute("00100030", (), (f"{self._born:%Y%m%d}",))
        yield Attribute("00100040", (), (self._sex,))

    def _one(  # noqa: PLR0913 # one parameter for each thing that differs
        self,
        uid: str,
        series: int,
        sop_class_uid: str,
        kind: Kind,
        details: Details,
        attributes: list[Attribute],
        references: tuple[Reference, ...] = (),
    ) -> IndexedInstance:
        ref = parse_ref(self._study, f"{self._study}.{series}", uid)
        sha256 = hashlib.sha256(uid.encode()).hexdigest()
        header = InstanceHeader(
            ref=ref,
            sop_class_uid=sop_class_uid,
            kind=kind,
            modality={1: "RTSTRUCT", 2: "RTPLAN", 3: "RTRECORD"}[series],
            references=references,
            details=details,
            patient_id=self._id,
            patient_name=self._name,
            study_date=f"{2015 + self._number % 10}0{self._number % 9 + 1}15",
        )
        return IndexedInstance(
            object_key=str(object_key(ref, sha256)),
            ref=ref,
            sop_class_uid=sop_class_uid,
            sha256=sha256,
            size_bytes=10_000,
            stored_at=_STORED,
            header=header,
            attributes=tuple(attributes),
        )
