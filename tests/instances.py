"""Small made-up instances and their encodings; none is a person's."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from io import BytesIO

from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomcore.received import Received

RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
PRIVATE_PLAN = "1.2.246.352.70.1.70"
ROOT = "2.25.7100"
SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def identity(number: int = 1, *, sop_class_uid: str = RT_PLAN) -> Dataset:
    """Return the four identifying attributes and nothing else."""
    dataset = Dataset()
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = f"{ROOT}.3.{number}"
    dataset.StudyInstanceUID = f"{ROOT}.1"
    dataset.SeriesInstanceUID = f"{ROOT}.2"
    return dataset


def instance(number: int = 1, *, sop_class_uid: str = RT_PLAN, size_bytes: int = 64) -> Dataset:
    """Return an instance with a sequence before its series UID, and `size_bytes` of bulk."""
    dataset = identity(number, sop_class_uid=sop_class_uid)
    item = Dataset()
    item.ReferencedSOPClassUID = CT_IMAGE
    item.ReferencedSOPInstanceUID = f"{ROOT}.9.{number}"
    item.PurposeOfReferenceCodeSequence = [Dataset(), Dataset()]
    item.PurposeOfReferenceCodeSequence[0].CodeMeaning = "made up"
    dataset.ReferencedStudySequence = [item, Dataset()]
    dataset.PatientID = "MADE-UP"
    dataset.PatientName = "Made^Up"
    dataset.Modality = "RTPLAN"
    dataset.RTPlanLabel = f"Plan {number}"
    dataset.add_new(0x00091001, "UN", b"private")
    dataset.add_new(0x300A00B3, "CS", "MU")
    dataset.add_new(0x7FE00010, "OW", bytes((number + i) % 251 for i in range(size_bytes)))
    return dataset


def encode(dataset: Dataset, syntax: str = ImplicitVRLittleEndian) -> bytes:
    """Return the data set as it travels in a C-STORE with this transfer syntax."""
    buffer = BytesIO()
    file = DicomIO(buffer)
    file.is_implicit_VR = syntax == ImplicitVRLittleEndian
    file.is_little_endian = syntax != ExplicitVRBigEndian
    write_dataset(file, dataset)
    data = buffer.getvalue()
    return deflate(data) if syntax == DeflatedExplicitVRLittleEndian else data


def encode_in_order(elements: Iterable[DataElement], syntax: str) -> bytes:
    """Return elements one after another in the order they are given, which a Dataset would sort."""
    plain = ExplicitVRLittleEndian if syntax == DeflatedExplicitVRLittleEndian else syntax
    encoded = []
    for element in elements:
        single = Dataset()
        single.add(element)
        encoded.append(encode(single, plain))
    joined = b"".join(encoded)
    return deflate(joined) if syntax == DeflatedExplicitVRLittleEndian else joined


def deflate(data: bytes) -> bytes:
    """Return data as PS3.5 A.5 has it."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(data) + deflater.flush()
    return deflated + b"\0" * (len(deflated) % 2)


def received(dataset: Dataset, syntax: str = ImplicitVRLittleEndian, **changes: object) -> Received:
    """Return the C-STORE request that carries a data set; `changes` falsify it."""
    fields: dict[str, object] = {
        "sop_class_uid": str(dataset.get("SOPClassUID", "")),
        "sop_instance_uid": str(dataset.get("SOPInstanceUID", "")),
        "transfer_syntax_uid": str(syntax),
        "calling_ae_title": "TESTS",
    }
    if "data" not in changes:
        fields["data"] = encode(dataset, syntax)
    return Received(**{**fields, **changes})  # type: ignore[arg-type]
