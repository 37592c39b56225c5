"""What an instance is for radiotherapy: by SOP class, and by modality where the class does not tell."""

from __future__ import annotations

from dicomcore.model import Kind

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_BY_CLASS: dict[str, Kind] = {
    "1.2.246.352.70.1.70": Kind.PLAN,  # Varian, Halcyon
    **dict.fromkeys((f"{_STORAGE}481.{n}" for n in (5, 8)), Kind.PLAN),
    f"{_STORAGE}481.3": Kind.STRUCTURE_SET,
    f"{_STORAGE}481.2": Kind.DOSE,
    # RT Image, Enhanced RT Image, Enhanced Continuous RT Image
    **dict.fromkeys((f"{_STORAGE}481.{n}" for n in (1, 23, 24)), Kind.RT_IMAGE),
    # beams, brachy, summary, ion beams; the records of the second generation
    **dict.fromkeys((f"{_STORAGE}481.{n}" for n in (4, 6, 7, 9, 16, 17, 18, 19, 20)), Kind.RECORD),
    # spatial, deformable
    **dict.fromkeys((f"{_STORAGE}66.{n}" for n in (1, 3)), Kind.REGISTRATION),
    # segmentation, surface segmentation, label map
    **dict.fromkeys((f"{_STORAGE}66.{n}" for n in (4, 5, 7)), Kind.SEGMENTATION),
    # of an image modality, but no images: raw data, spectroscopy, tractography, documents
    **dict.fromkeys((f"{_STORAGE}{n}" for n in ("66", "4.2", "66.6")), Kind.OTHER),
    **dict.fromkeys((f"{_STORAGE}104.{n}" for n in range(1, 6)), Kind.OTHER),
    **dict.fromkeys((f"{_STORAGE}88.{n}" for n in (11, 22, 33, 59, 65, 67)), Kind.OTHER),
}
_BY_MODALITY: dict[str, Kind] = {
    "RTPLAN": Kind.PLAN,
    "RTSTRUCT": Kind.STRUCTURE_SET,
    "RTDOSE": Kind.DOSE,
    "RTIMAGE": Kind.RT_IMAGE,
    "RTRECORD": Kind.RECORD,
    "REG": Kind.REGISTRATION,
    "SEG": Kind.SEGMENTATION,
    **dict.fromkeys(("CT", "MR", "PT", "NM", "US", "CR", "DX", "XA", "RF", "SC", "OT"), Kind.IMAGE),
    **dict.fromkeys(("MG", "PX", "IO", "ES", "XC", "GM", "SM", "OP", "OPT", "IVUS"), Kind.IMAGE),
}
_IMAGE_CLASSES = frozenset(
    _STORAGE + suffix
    for suffix in (
        *("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1"),  # CR, DX, MG, intra-oral
        *("2", "2.1", "2.2", "3.1", "4", "4.1", "4.3", "4.4", "6.1", "6.2"),  # CT, MR, US
        *("7", "7.1", "7.2", "7.3", "7.4"),  # secondary capture
        *("12.1", "12.1.1", "12.2", "12.2.1", "13.1.1", "13.1.2", "13.1.3"),  # XA, RF, 3D X-ray
        *("20", "128", "128.1", "130"),  # NM, PET
    )
)


def kind_of(sop_class_uid: str, modality: str = "") -> Kind:
    """Return the kind of an instance.

    Parameters
    ----------
    sop_class_uid
        SOP Class UID (0008,0016); empty if unknown.
    modality
        Modality (0008,0060) is asked where the class is private, unknown or absent.

    Notes
    -----
    PS3.4 B.5. Delivery instructions (1.2.840.10008.5.1.4.34.7 and .10) reference a plan and are none.
    """
    if sop_class_uid in _IMAGE_CLASSES:
        return Kind.IMAGE
    kind = _BY_CLASS.get(sop_class_uid)
    return kind if kind is not None else _BY_MODALITY.get(modality, Kind.OTHER)
