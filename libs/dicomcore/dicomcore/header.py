"""`InstanceHeader` from an encoded object or a data set in memory, and to JSON and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from pydicom import Dataset

from dicomcore.errors import InvalidInstance, InvalidUid, Unreadable
from dicomcore.model import Details, InstanceHeader, Kind, Reference
from dicomcore.readers.access import Item
from dicomcore.readers.collect import Truncated, collect
from dicomcore.readers.dataset import item_of
from dicomcore.readers.dose import read_dose
from dicomcore.readers.image import read_image, read_segmentation
from dicomcore.readers.kinds import kind_of
from dicomcore.readers.part10 import Opened, encoding_at, inflated, open_object
from dicomcore.readers.plan import read_plan
from dicomcore.readers.record import read_record
from dicomcore.readers.refs import fold
from dicomcore.readers.registration import read_registration
from dicomcore.readers.rt_image import read_rt_image
from dicomcore.readers.structure_set import read_structure_set
from dicomcore.uids import FrameUID, InstanceRef, parse_ref

_READERS: Mapping[Kind, Callable[[Item], tuple[Details, Iterable[Reference]]]] = {
    Kind.PLAN: read_plan,
    Kind.STRUCTURE_SET: read_structure_set,
    Kind.DOSE: read_dose,
    Kind.RT_IMAGE: read_rt_image,
    Kind.RECORD: read_record,
    Kind.REGISTRATION: read_registration,
    Kind.IMAGE: read_image,
    Kind.SEGMENTATION: read_segmentation,
    Kind.OTHER: read_image,
}
_JSON = TypeAdapter(InstanceHeader)


def read_header(data: bytes, *, complete: bool) -> InstanceHeader | None:
    """Return the header of an object, or None if more of the object is needed to read it.

    Parameters
    ----------
    data
        A whole object or its beginning: a Part 10 file, or a bare data set in any encoding.
    complete
        Whether `data` is the whole object; if so, the answer is never None.

    Raises
    ------
    Unreadable
        Not DICOM, or (if `complete`) the data end before what is needed does.
    InvalidInstance
        Study, Series or SOP Instance UID is missing or no UID: DICOMDIR, stripped copies.

    Notes
    -----
    Pixel data and everything after Approval Status (300E,0002) are not looked at; of what comes
    before, only the elements in `dicomcore.readers.wanted` are decoded.
    """
    try:
        opened = open_object(data)
        item, passed = _deflated(opened) if opened.deflated else _plain(opened)
    except Truncated as exc:
        if complete:
            raise Unreadable("the data set is cut off", size_bytes=len(data)) from exc
        return None
    if not (passed or complete):
        return None
    return _header(item, opened)


def read_dataset_header(ds: Dataset) -> InstanceHeader:
    """Return the header of a data set in memory, whole or partial (an answer of C-FIND).

    Raises
    ------
    InvalidInstance
        Study, Series or SOP Instance UID is missing or no UID.
    """
    meta = getattr(ds, "file_meta", None)
    syntax = "" if meta is None else str(meta.get("TransferSyntaxUID", ""))
    sop_class = "" if meta is None else str(meta.get("MediaStorageSOPClassUID", ""))
    return _header(item_of(ds), Opened(b"", 0, syntax, sop_class))


def header_to_json(header: InstanceHeader) -> bytes:
    """Return the header as JSON; `header_from_json` gives back an equal one."""
    fields = _JSON.dump_python(header, mode="json", exclude_defaults=True)
    if header.details is not None:  # the discriminator is a default as well
        fields["details"]["kind"] = header.details.kind
    return to_json(fields)


def header_from_json(body: bytes) -> InstanceHeader:
    """Return the header that `header_to_json` wrote.

    Raises
    ------
    Unreadable
        Not JSON, or not of a header.
    """
    try:
        return _JSON.validate_json(body)
    except ValidationError as exc:
        # not `from exc`: its text quotes the values
        raise Unreadable("not a header", problems=exc.error_count()) from None


def _plain(opened: Opened) -> tuple[Item, bool]:
    return collect(opened.data, opened.start, encoding_at(opened.data, opened.start))


def _deflated(opened: Opened) -> tuple[Item, bool]:
    """Inflate as little as the wanted attributes need."""
    for data, whole in inflated(opened):
        try:
            item, passed = collect(data, 0, encoding_at(data, 0))
        except Truncated:
            continue
        if passed or whole:
            return item, True
    raise Truncated


def _header(item: Item, opened: Opened) -> InstanceHeader:
    ref = _ref(item)
    sop_class_uid = item.uid("SOPClassUID") or opened.sop_class_uid
    modality = item.first("Modality")
    kind = kind_of(sop_class_uid, modality)
    details, references = _READERS[kind](item)
    frame = item.uid("FrameOfReferenceUID")
    return InstanceHeader(
        ref=ref,
        sop_class_uid=sop_class_uid,
        kind=kind,
        modality=modality,
        frame_of_reference_uid=None if frame is None else FrameUID(frame),
        references=fold(references, own_uid=ref.sop_instance_uid),
        details=details,
        patient_id=item.text("PatientID"),
        patient_name=item.text("PatientName"),
        study_date=item.first("StudyDate"),
        study_description=item.text("StudyDescription"),
        series_description=item.text("SeriesDescription"),
        series_number=item.integer("SeriesNumber"),
        manufacturer=item.text("Manufacturer"),
        transfer_syntax_uid=opened.transfer_syntax_uid,
    )


def _ref(item: Item) -> InstanceRef:
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    study, series, instance = (item.first(keyword) for keyword in keywords)
    try:
        return parse_ref(study, series, instance)
    except InvalidUid as exc:
        sentence = "identity is not a UID" if exc.facts.get("length") else "identity is missing"
        raise InvalidInstance(sentence, **exc.facts) from exc
