"""De-identifies encoded objects: raw elements are walked, only what changes is encoded anew."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from dicomcore.deident.descriptors import TextCleaner
from dicomcore.deident.encoded import Encoded, open_encoded
from dicomcore.deident.encrypted import Seal, with_encrypted
from dicomcore.deident.handlers import HANDLERS, SPECIAL
from dicomcore.deident.identifiers import KnownIdentifiers
from dicomcore.deident.identity import PatientIdentity, pseudonym_of
from dicomcore.deident.options import Options, legal
from dicomcore.deident.profile import Profile
from dicomcore.deident.provenance import elements
from dicomcore.deident.rewrite import Rewrite, Subject
from dicomcore.deident.rules import Place, Rules
from dicomcore.deident.splice import Part, joined
from dicomcore.deident.tables_by_place import Tables
from dicomcore.deident.types import iod_of
from dicomcore.deident.uid_map import KeyedMap
from dicomcore.errors import InvalidInstance, InvalidUid, Unreadable
from dicomcore.part10 import part10_header
from dicomcore.uids import InstanceRef, parse_ref, parse_uid
from dicomcore.walk import UNDEFINED_LENGTH, Encoding, top_level

_SOP_CLASS_UID = 0x00080016
_SOP_INSTANCE_UID = 0x00080018


@dataclass(frozen=True, slots=True)
class DeidentifiedObject:
    """A whole Part 10 object: preamble, file meta information and data set are new or made anew."""

    parts: tuple[Part, ...] = field(repr=False)
    """To be written one after another; large ones are views of the original's bytes."""
    ref: InstanceRef
    """New UIDs."""
    sop_class_uid: str
    transfer_syntax_uid: str
    size_bytes: int

    def to_bytes(self) -> bytes:
        """Return the parts as one."""
        return b"".join(self.parts)


class Deidentifier:
    """One patient's de-identification: a profile, its options, a key, and what is known of the patient.

    Nothing is kept from object to object but caches: any number of them, in any order, on any worker,
    gives the same bytes for the same key. Not to be shared by threads.

    Parameters
    ----------
    known
        From `collect_identifiers` over all of the patient's objects; without it, labels and comments
        that an option keeps could hold a name.

    Raises
    ------
    InvalidRequest
        The key is too short, or the options exclude each other.
    """

    def __init__(
        self,
        profile: Profile,
        options: Options,
        key: bytes,
        identity: PatientIdentity,
        known: KnownIdentifiers,
        *,
        seal: Seal | None = None,
    ) -> None:
        self.options = legal(options)
        self._profile = profile
        self._seal = seal
        self._rules = Rules(profile, self.options)
        self._tables: dict[Encoding, Tables] = {}
        self._provenance: dict[Encoding, list[tuple[int, bytes]]] = {}
        keyed = KeyedMap(key)
        self.pseudonym = pseudonym_of(identity, keyed)
        self._subject = Subject(identity, keyed, TextCleaner(known), self.pseudonym.shift_days)

    def new_uid(self, uid: str) -> str:
        """Return what this patient's `uid` becomes where it is mapped."""
        return self._subject.keyed.uid(uid)

    def apply(self, data: bytes | bytearray | memoryview) -> DeidentifiedObject:
        """Return the de-identified object.

        Parameters
        ----------
        data
            A Part 10 object, or a bare data set, in any transfer syntax.

        Raises
        ------
        Unreadable
            The data set is damaged, or holds a VR or an encoding that is not known. Nothing leaves.
        InvalidInstance
            It lacks one of the UIDs that identify it, or belongs to another patient.

        Notes
        -----
        PS3.15 Annex E. Pixel data, contours and dose grids are spliced, not decoded. Preamble and
        file meta information are written anew.
        """
        opened = open_encoded(data if isinstance(data, bytes) else bytes(data))
        try:
            return self._rewritten(opened)
        except struct.error as exc:
            raise Unreadable("element is cut off", size_bytes=len(opened.data)) from exc

    def _rewritten(self, opened: Encoded) -> DeidentifiedObject:
        sop_class_uid = _sop_class(opened)
        place = Place(iod_of(sop_class_uid))
        rewrite = Rewrite(opened.data, opened.start, self._subject, self._for, opened.encoding)
        rewrite.top_level(opened.start, place, self._written(opened.encoding))
        ref = _new_ref(rewrite.found)
        header = part10_header(sop_class_uid, ref.sop_instance_uid, opened.transfer_syntax_uid)
        body = rewrite.out.parts
        if self._seal is not None:
            body = with_encrypted(opened, body, self._seal)
        parts = (header, _deflated(body)) if opened.deflated else joined([header, *body])
        return DeidentifiedObject(
            parts, ref, sop_class_uid, opened.transfer_syntax_uid, sum(map(len, parts))
        )

    def _written(self, encoding: Encoding) -> list[tuple[int, bytes]]:
        written = self._provenance.get(encoding)
        if written is None:
            name = self._profile.name or "profile"
            written = elements(self.pseudonym, name, self.options, encoding)
            self._provenance[encoding] = written
        return written

    def _for(self, encoding: Encoding) -> Tables:
        tables = self._tables.get(encoding)
        if tables is None:
            tables = self._tables[encoding] = Tables(encoding, self._rules, HANDLERS, SPECIAL)
        return tables


def _sop_class(opened: Encoded) -> str:
    """Return the SOP Class UID of the data set: by it, the types of its attributes are known."""
    view = memoryview(opened.data)[opened.start :]
    for element in top_level(view, opened.encoding):
        if element.tag == _SOP_CLASS_UID and element.length != UNDEFINED_LENGTH:
            value = bytes(view[element.start : element.start + element.length])
            try:
                return parse_uid(value.decode("latin-1"), keyword="SOPClassUID")
            except InvalidUid as exc:
                raise InvalidInstance("identifying attribute is not a UID", **exc.facts) from exc
        if element.tag >= _SOP_INSTANCE_UID:
            break
    raise InvalidInstance("identifying attribute is missing", keyword="SOPClassUID")


def _new_ref(found: dict[int, bytes]) -> InstanceRef:
    study, series, instance = (
        found.get(tag, b"").decode("latin-1") for tag in (0x0020000D, 0x0020000E, 0x00080018)
    )
    try:
        return parse_ref(study, series, instance)
    except InvalidUid as exc:
        raise InvalidInstance("identifying attribute is not a UID", **exc.facts) from exc


def _deflated(parts: list[Part]) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = b"".join([*(deflater.compress(part) for part in parts), deflater.flush()])
    return body + b"\0" * (len(body) % 2)
