"""What a C-FIND finds: levels, supported keys, and one response for each match (PS3.4 C.4.1, C.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement

from dicomcore.errors import InvalidRequest
from dicomcore.ports import QueryLevel
from dicomtools.demo.archive import Entry
from dicomtools.demo.faults import Faults
from dicomtools.demo.matching import is_control, matches

LEVELS = (QueryLevel.PATIENT, QueryLevel.STUDY, QueryLevel.SERIES, QueryLevel.IMAGE)
UNIQUE_KEYS = {
    QueryLevel.PATIENT: "PatientID",
    QueryLevel.STUDY: "StudyInstanceUID",
    QueryLevel.SERIES: "SeriesInstanceUID",
    QueryLevel.IMAGE: "SOPInstanceUID",
}
_ATTRIBUTE = {
    "PatientID": "patient_id",
    "StudyInstanceUID": "study_instance_uid",
    "SeriesInstanceUID": "series_instance_uid",
    "SOPInstanceUID": "sop_instance_uid",
}


def _tags(*keywords: str) -> frozenset[int]:
    return frozenset(int(tag_for_keyword(keyword) or 0) for keyword in keywords)


# unique and required keys of each level, with those of the levels above (PS3.4 C.6.1.1, C.6.2.1)
_REQUIRED_PATIENT = _tags("PatientID", "PatientName")
_REQUIRED_STUDY = _REQUIRED_PATIENT | _tags(
    "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"
)
_REQUIRED_SERIES = _REQUIRED_STUDY | _tags("SeriesInstanceUID", "Modality", "SeriesNumber")
_REQUIRED = {
    QueryLevel.PATIENT: _REQUIRED_PATIENT,
    QueryLevel.STUDY: _REQUIRED_STUDY,
    QueryLevel.SERIES: _REQUIRED_SERIES,
    QueryLevel.IMAGE: _REQUIRED_SERIES | _tags("SOPInstanceUID", "InstanceNumber"),
}
# what an attribute above IMAGE level may be: it has one value for all that is below
_PATIENT = _REQUIRED_PATIENT | _tags(
    "PatientBirthDate",
    "PatientSex",
    "NumberOfPatientRelatedStudies",
    "NumberOfPatientRelatedSeries",
    "NumberOfPatientRelatedInstances",
)
_STUDY = (
    _PATIENT
    | _REQUIRED_STUDY
    | _tags(
        "StudyDescription",
        "ReferringPhysicianName",
        "ModalitiesInStudy",
        "SOPClassesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    )
)
_SERIES = (
    _STUDY
    | _REQUIRED_SERIES
    | _tags(
        "SeriesDescription",
        "SeriesDate",
        "SeriesTime",
        "Manufacturer",
        "ManufacturerModelName",
        "StationName",
        "BodyPartExamined",
        "FrameOfReferenceUID",
        "NumberOfSeriesRelatedInstances",
    )
)
_SUPPORTED = {
    QueryLevel.PATIENT: _PATIENT,
    QueryLevel.STUDY: _STUDY,
    QueryLevel.SERIES: _SERIES,
}
_RT_PLAN_LABEL = 0x300A0002


def level_of(identifier: Dataset) -> QueryLevel:
    """Return the Query/Retrieve Level (0008,0052); `InvalidRequest` if it is none."""
    try:
        return QueryLevel(str(identifier.get("QueryRetrieveLevel", "")))
    except ValueError as exc:
        raise InvalidRequest("no such query/retrieve level") from exc


def key_values(identifier: Dataset, level: QueryLevel) -> tuple[str, ...]:
    """Return the values of a level's unique key; empty if it is absent or empty."""
    value = identifier.get(UNIQUE_KEYS[level])
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (value,)
    return tuple(str(one) for one in value)


def check_hierarchy(identifier: Dataset, level: QueryLevel, top: QueryLevel) -> None:
    """Demand one value for the unique key of every level above (PS3.4 C.4.1.3.1.1).

    Raises
    ------
    InvalidRequest
        One is missing, has several values or is a pattern, or the level is above `top`.
    """
    if LEVELS.index(level) < LEVELS.index(top):
        raise InvalidRequest("the information model has no such level", level=level)
    for above in LEVELS[LEVELS.index(top) : LEVELS.index(level)]:
        values = key_values(identifier, above)
        if len(values) != 1 or "*" in values[0] or "?" in values[0]:
            raise InvalidRequest(
                "a unique key above the level needs one value", keyword=UNIQUE_KEYS[above]
            )


def within(entries: Iterable[Entry], identifier: Dataset, level: QueryLevel) -> Iterator[Entry]:
    """Yield the entries that the unique keys down to `level` name; an empty key names them all."""
    wanted = []
    for each in LEVELS[: LEVELS.index(level) + 1]:
        values = key_values(identifier, each)
        if values and not any("*" in value or "?" in value for value in values):
            wanted.append((_ATTRIBUTE[UNIQUE_KEYS[each]], frozenset(values)))
    for entry in entries:
        if all(getattr(entry, attribute) in values for attribute, values in wanted):
            yield entry


def find(
    entries: Sequence[Entry], identifier: Dataset, level: QueryLevel, faults: Faults
) -> Iterator[Dataset]:
    """Yield a response identifier for each match, in the archive's order.

    Keys that a level does not support neither match nor come back (PS3.4 C.4.1.3.1).
    """
    keys = [key for key in identifier if _supported(int(key.tag), level, faults)]
    wanted = Dataset({key.tag: key for key in keys})
    chosen = entries if faults.return_everything else tuple(within(entries, identifier, level))
    for group in _groups(chosen, level):
        candidate = _candidate(group, level, wanted)
        if faults.return_everything or matches(wanted, candidate):
            yield _response(candidate, keys, level)


def _supported(tag: int, level: QueryLevel, faults: Faults) -> bool:
    if is_control(tag):
        return False
    if faults.omit_optional_keys:
        return tag in _REQUIRED[level]
    if faults.omit_rt_plan_label and tag == _RT_PLAN_LABEL:
        return False
    return level is QueryLevel.IMAGE or tag in _SUPPORTED[level]


def _groups(entries: Iterable[Entry], level: QueryLevel) -> Iterable[list[Entry]]:
    if level is QueryLevel.IMAGE:
        return ([entry] for entry in entries)
    attribute = _ATTRIBUTE[UNIQUE_KEYS[level]]
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(getattr(entry, attribute), []).append(entry)
    return groups.values()


def _candidate(group: Sequence[Entry], level: QueryLevel, wanted: Dataset) -> Dataset:
    """Return the first header of a group, with what is counted over the group where asked for."""
    header = group[0].header
    if level is QueryLevel.IMAGE:
        return header
    candidate = Dataset({e.tag: e for e in header.elements() if e.tag in _SUPPORTED[level]})
    if "SpecificCharacterSet" in header:
        candidate.SpecificCharacterSet = header.SpecificCharacterSet
    for keyword, value in _counted(group, level).items():
        if keyword in wanted:
            setattr(candidate, keyword, value)
    return candidate


def _counted(group: Sequence[Entry], level: QueryLevel) -> dict[str, object]:
    if level is QueryLevel.SERIES:
        return {"NumberOfSeriesRelatedInstances": len(group)}
    series = len({entry.series_instance_uid for entry in group})
    if level is QueryLevel.STUDY:
        return {
            "ModalitiesInStudy": sorted({entry.modality for entry in group}),
            "SOPClassesInStudy": sorted({entry.sop_class_uid for entry in group}),
            "NumberOfStudyRelatedSeries": series,
            "NumberOfStudyRelatedInstances": len(group),
        }
    return {
        "NumberOfPatientRelatedStudies": len({entry.study_instance_uid for entry in group}),
        "NumberOfPatientRelatedSeries": series,
        "NumberOfPatientRelatedInstances": len(group),
    }


def _response(candidate: Dataset, keys: Sequence[DataElement], level: QueryLevel) -> Dataset:
    response = Dataset()
    if "SpecificCharacterSet" in candidate:
        response.SpecificCharacterSet = candidate.SpecificCharacterSet
    response.QueryRetrieveLevel = str(level)
    for key in keys:
        if key.tag in candidate:
            response[key.tag] = candidate[key.tag]
        else:
            response.add_new(key.tag, key.VR, None)
    for keyword in UNIQUE_KEYS.values():
        # the unique keys of the level and above always come back
        if keyword in candidate and keyword not in response:
            response[keyword] = candidate[keyword]
        if keyword == UNIQUE_KEYS[level]:
            break
    return response
