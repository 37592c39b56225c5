"""Made-up headers and attributes of a radiotherapy archive, as an indexer reads them from objects."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicomcore.attributes import Attribute
from dicomcore.flatten import flatten
from dicomcore.header import read_header
from dicomcore.keys import object_key
from dicomcore.model import ImageDetails, InstanceHeader
from dicomcore.ports import IndexedInstance
from dicomcore.uids import parse_ref
from dicomtools.demo.patients import small_patient

MACHINES = ("TrueBeam1", "TrueBeam2", "TrueBeam3", "Halcyon1", "Halcyon2", "Ethos1")
STATUSES = ("APPROVED", "UNAPPROVED", "REJECTED")
SITES = ("PROST", "BREAST", "LUNG", "HN", "BRAIN", "RECT", "SPINE", "LIVER")
RT_SERIES_OF_PATIENT = 10
IMAGE_SERIES_OF_PATIENT = 10
_STORED_AT = datetime(2024, 1, 1, tzinfo=UTC)
_EXTRA = (
    ("00180060#", "120"),
    ("00180090#", "500"),
    ("00181020", "VA48A_SP02"),
    ("00181030", "RT_Thorax_4D"),
    ("00181100#", "500"),
    ("00181110#", "1085.6"),
    ("00181111#", "595"),
    ("00181120#", "0"),
    ("00181130#", "142"),
    ("00181140", "CW"),
    ("00181160", "FLAT"),
    ("00181170#", "28"),
    ("00181190#", "1.2"),
    ("00181210", "Br40d"),
    ("00185100", "HFS"),
    ("00189305#", "0.5"),
    ("00189306#", "0.6"),
    ("00189307#", "38.4"),
    ("00189311#", "0.8"),
    ("00189345#", "9.87"),
    ("00080070", "SIEMENS"),
    ("00080080", "Made-up Hospital"),
    ("00080081", "Nowhere 1"),
    ("00080090", "REFERRER^MADE^UP"),
    ("00081010", "CT54321"),
    ("00081030", "Planning"),
    ("00081040", "Radiotherapy"),
    ("00081090", "SOMATOM Confidence"),
    ("00100030", "19500101"),
    ("00100040", "O"),
    ("00101010", "074Y"),
    ("00101030#", "70"),
    ("00321060", "CT planning"),
    ("00400002", "20240101"),
    ("00400244", "20240101"),
    ("00400253", "42"),
)


@dataclass(frozen=True)
class Shape:
    """How large an archive is made."""

    instances: int
    series: int

    @property
    def patients(self) -> int:
        return max(1, self.series // (RT_SERIES_OF_PATIENT + IMAGE_SERIES_OF_PATIENT))

    @property
    def images_of_series(self) -> int:
        rt = self.patients * _RT_INSTANCES
        return max(1, (self.instances - rt) // (self.patients * IMAGE_SERIES_OF_PATIENT))


_RT_INSTANCES = 3 * 1 + 2 * 1 + 3 * 2 + 1 * 30 + 1 * 1
"""Of one patient: three plans, two structure sets, three series of two doses, 30 records, a
registration, each kind in series of its own."""


def archive(shape: Shape, *, seed: int = 1) -> Iterator[IndexedInstance]:
    """Yield an archive patient by patient; four image series of a patient grow at the same time."""
    maker = Maker(seed)
    for number in range(shape.patients):
        yield from maker.patient(f"MADE-UP-{number:06d}", images=shape.images_of_series)


class Maker:
    """Makes instances after templates that were read from encoded made-up objects."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 # not for secrets
        self._templates: dict[str, tuple[InstanceHeader, tuple[Attribute, ...]]] = {}
        for one in small_patient(plans=1, slices=1).instances:
            modality = str(one.dataset.Modality)
            self._templates.setdefault(modality, _read(one.dataset))
        header, attributes = self._templates["CT"]
        have = {attribute.path for attribute in attributes}
        extra = tuple(Attribute(p, (), (v,)) for p, v in _EXTRA if p not in have)
        self._templates["CT"] = (header, (*attributes, *extra))
        self._templates["REG"] = self._templates["RTDOSE"]

    def patient(self, patient_id: str, *, images: int) -> Iterator[IndexedInstance]:
        pick, study = self._random, self._uid()
        machine, site = pick.choice(MACHINES), pick.choice(SITES)
        frame = self._uid()
        shared = {"00100020": patient_id, "00100010": f"MADE^UP {patient_id}", "0020000D": study}
        series = [self._uid() for _ in range(IMAGE_SERIES_OF_PATIENT)]
        for group in (series[:4], series[4:8], series[8:]):
            for number in range(images):
                for uid in group:
                    yield self._image(shared, uid, frame, number)
        for number in range(3):
            changes = {
                "300A0002": f"{site}_{number + 1}",
                "300E0002": pick.choice(STATUSES),
                "300A00B0/300A00B2": machine,
                "300A00B0/300A00C2": f"ARC {number + 1}",
            }
            yield self.instance("RTPLAN", self._uid(), shared | changes)
        for number in range(2):
            changes = {"30060002": f"{site}_SS{number}"}
            yield self.instance("RTSTRUCT", self._uid(), shared | changes)
        for number in range(3):
            dose_series = self._uid()
            for summation in ("PLAN", "BEAM"):
                changes = {"3004000A": summation, "0020000D": study, "00081030": f"dose {number}"}
                yield self.instance("RTDOSE", dose_series, shared | changes)
        records = self._uid()
        for number in range(30):
            changes = {"30080250": f"202401{number + 1:02d}", "00080021": f"202401{number + 1:02d}"}
            yield self.instance("RTRECORD", records, shared | changes)
        yield self.instance("REG", self._uid(), shared)

    def _image(
        self, shared: dict[str, str], series: str, frame: str, number: int
    ) -> IndexedInstance:
        z = -400.0 + 2.5 * number
        changes = {
            "00200013#": str(number + 1),
            "00201041#": f"{z:g}",
            "00200052": frame,
            "00080032": f"{101500 + number % 60}.{number % 1000:03d}000",
            "00080033": f"{101500 + number % 60}.{number % 997:03d}000",
            "00181151#": str(180 + number * 7 % 90),
            "00181152#": str(90 + number * 5 % 60),
            "00280107#": str(1200 + number * 31 % 900),
        }
        made = self.instance("CT", series, shared | changes, number=number + 1)
        position = Attribute("00200032#", (), ("-250", "-250", f"{z:g}"))
        kept = tuple(a for a in made.attributes if a.path != position.path)
        return replace(made, attributes=(*kept, position))

    def instance(
        self, modality: str, series: str, changes: dict[str, str], *, number: int | None = None
    ) -> IndexedInstance:
        header, attributes = self._templates[modality]
        ref = parse_ref(changes["0020000D"], series, self._uid())
        changes = changes | {"00080018": ref.sop_instance_uid, "0020000E": series}
        left = dict(changes)
        made = []
        for attribute in attributes:
            text = changes.get(attribute.path)
            left.pop(attribute.path, None)
            made.append(attribute if text is None else attribute._replace(values=(text,)))
        made += [Attribute(path, (), (text,)) for path, text in left.items() if "/" not in path]
        details = header.details
        if isinstance(details, ImageDetails):
            details = ImageDetails(image_type=details.image_type, instance_number=number)
        new = replace(
            header, ref=ref, patient_id=changes["00100020"], references=(), details=details
        )
        sha256 = hashlib.sha256(ref.sop_instance_uid.encode()).hexdigest()
        return IndexedInstance(
            object_key=str(object_key(ref, sha256)),
            ref=ref,
            sop_class_uid=header.sop_class_uid,
            sha256=sha256,
            size_bytes=525_000,
            stored_at=_STORED_AT,
            header=new,
            attributes=tuple(made),
        )

    def _uid(self) -> str:
        number = self._random
        return f"1.2.246.352.61.2.{number.randrange(10**18, 10**19)}.{number.randrange(10**19)}"


def encoded_images(count: int) -> Sequence[bytes]:
    """Return encoded CT images without pixel data, as the first range of an object holds them."""
    [one] = [
        i for i in small_patient(plans=1, slices=1).instances if str(i.dataset.Modality) == "CT"
    ][:1]
    bodies = []
    for number in range(count):
        one.dataset.InstanceNumber = number + 1
        one.dataset.SOPInstanceUID = f"1.2.3.{number + 1}"
        bodies.append(_encoded(one.dataset))
    return bodies


def _read(dataset: Dataset) -> tuple[InstanceHeader, tuple[Attribute, ...]]:
    body = _encoded(dataset)
    header, flattened = read_header(body, complete=True), flatten(body, complete=True)
    assert header is not None
    assert flattened is not None
    return header, flattened.attributes


def _encoded(dataset: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = True, True
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())
