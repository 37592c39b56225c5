"""What the demo PACS holds: each instance's header for queries, and its encoded bytes for sending."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

_PIXEL_DATA = 0x7FE00010
_PREAMBLE = 132
_GROUP_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Entry:
    """One instance. Identity is kept as text: an archive may hold what no one else would take."""

    patient_id: str = field(repr=False)
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    modality: str
    transfer_syntax_uid: str
    header: Dataset = field(repr=False)
    """The data set without pixel data."""
    parts: tuple[bytes, ...] = field(default=(), repr=False)
    """The encoded data set, in pieces that entries may share; empty if it is in a file."""
    path: Path | None = None
    offset: int = 0
    """Where in the file the data set begins."""

    def encoded(self) -> bytes:
        """Return the encoded data set, without Part 10 header."""
        if self.path is None:
            return b"".join(self.parts)
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read()

    def encoded_as(self, transfer_syntax_uid: str) -> bytes:
        """Return the data set encoded anew, for a peer that does not accept it as it is.

        Only between uncompressed transfer syntaxes, both little endian.
        """
        body = self.encoded()
        stream = BytesIO(body)
        implicit = self.transfer_syntax_uid == ImplicitVRLittleEndian
        dataset = pydicom.filereader.read_dataset(
            stream, is_implicit_VR=implicit, is_little_endian=True
        )
        return _write(dataset, implicit=transfer_syntax_uid == ImplicitVRLittleEndian)


class Archive:
    """Instances in a fixed order: of the list, or of the sorted paths."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = list(entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """Append an instance; whoever iterates already does not see it."""
        self._entries.append(entry)


def archive_of(datasets: Sequence[Dataset]) -> Archive:
    """Return an archive in memory.

    The transfer syntax is that of `file_meta` where there is one, otherwise Explicit VR Little
    Endian. Pixel data is not copied: data sets that share it go on sharing it.
    """
    return Archive(_in_memory(dataset) for dataset in datasets)


def archive_in(folder: Path) -> Archive:
    """Return an archive of the DICOM files below a folder; other files are passed over."""
    entries = (_in_file(path) for path in sorted(folder.rglob("*")) if path.is_file())
    return Archive(entry for entry in entries if entry is not None)


def entry_of(body: bytes, transfer_syntax_uid: str) -> Entry:
    """Return an entry for an encoded data set, as C-STORE brings it."""
    syntax = UID(transfer_syntax_uid)
    plain = zlib.decompress(body, -zlib.MAX_WBITS) if syntax.is_deflated else body
    dataset = pydicom.filereader.read_dataset(
        BytesIO(plain),
        is_implicit_VR=syntax.is_implicit_VR,
        is_little_endian=syntax.is_little_endian,
        stop_when=lambda tag, _vr, _length: tag >= _PIXEL_DATA,
    )
    return _entry(dataset, transfer_syntax_uid, parts=(body,))


def _in_memory(dataset: Dataset) -> Entry:
    meta = getattr(dataset, "file_meta", None)
    syntax = UID(str(meta.TransferSyntaxUID)) if meta else ExplicitVRLittleEndian
    header = Dataset({e.tag: e for e in dataset.elements() if e.tag != _PIXEL_DATA})
    shareable = syntax == ExplicitVRLittleEndian and _PIXEL_DATA in dataset
    if shareable and max(dataset.keys()) == _PIXEL_DATA:
        element = dataset[_PIXEL_DATA]
        prefix = b"\xe0\x7f\x10\x00" + element.VR.encode() + b"\0\0"
        length = len(element.value).to_bytes(4, "little")
        parts: tuple[bytes, ...] = (_write(header, implicit=False) + prefix + length, element.value)
    else:
        parts = (_write(dataset, implicit=syntax.is_implicit_VR, little=syntax.is_little_endian),)
    return _entry(header, str(syntax), parts=parts)


def _in_file(path: Path) -> Entry | None:
    # pydicom warns of what real files hold; here is where it may, and not when somebody asks
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset, syntax, offset = _header_of(path)
            for _ in dataset:
                pass  # decoded lazily: now
            return _entry(dataset, syntax, path=path, offset=offset)
        except (AttributeError, EOFError, KeyError, NotImplementedError, OSError, ValueError):
            return None


def _header_of(path: Path) -> tuple[Dataset, str, int]:
    """Return the data set without pixel data, its transfer syntax, and where in the file it begins.

    A file without preamble is a data set; where its first element has a VR it is Explicit VR.
    """
    with path.open("rb") as stream:
        start = stream.read(_PREAMBLE)
        if start[128:] == b"DICM":
            stream.seek(0)
            dataset: Dataset = pydicom.dcmread(stream, stop_before_pixels=True)
            meta = dataset.file_meta
            offset = _PREAMBLE + _GROUP_LENGTH + int(meta.FileMetaInformationGroupLength)
            return dataset, str(meta.TransferSyntaxUID), offset
        stream.seek(0)
        explicit = start[4:6].isalpha() and start[4:6].isupper()
        dataset = pydicom.filereader.read_dataset(
            stream,
            is_implicit_VR=not explicit,
            is_little_endian=True,
            stop_when=lambda tag, _vr, _length: tag >= _PIXEL_DATA,
        )
    return dataset, str(ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian), 0


def _entry(
    dataset: Dataset,
    syntax: str,
    *,
    parts: tuple[bytes, ...] = (),
    path: Path | None = None,
    offset: int = 0,
) -> Entry:
    return Entry(
        patient_id=str(dataset.get("PatientID") or ""),
        study_instance_uid=str(dataset.StudyInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        sop_class_uid=str(dataset.SOPClassUID),
        modality=str(dataset.get("Modality") or ""),
        transfer_syntax_uid=syntax,
        header=dataset,
        parts=parts,
        path=path,
        offset=offset,
    )


def _write(dataset: Dataset, *, implicit: bool, little: bool = True) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR = implicit
    stream.is_little_endian = little
    write_dataset(stream, dataset)
    return stream.getvalue()
