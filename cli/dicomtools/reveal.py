"""`dicomtools reveal`: the key holder opens an encrypted map, or gets the original objects back."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dicomcore.deident import Unseal, recovered
from dicomcore.errors import InvalidRequest, NotFound, Rejected, Unreadable
from dicomcore.export import file_name
from dicomcore.header import read_header
from dicomio.files import write_atomically
from dicomio.sealed import load_opener, unseal
from dicomtools.config import Values
from dicomtools.headers import files_below
from dicomtools.problems import CommandProblem
from dicomtools.settings import Layer

OK = 0
FAILED = 1
_MAGIC_AT, _MAGIC = 128, b"DICM"


def run(values: Values, _layers: Sequence[Layer]) -> int:
    """Carry out the command; return 0 if everything could be opened.

    Raises
    ------
    CommandProblem
        The key, or the path, cannot be used.
    """
    path, out = Path(values.text("path")), values.text("out")
    opener = _opener(values)
    if path.is_dir() or _is_dicom(path):
        if not out:
            raise CommandProblem("--out is missing: the folder for the original objects.")
        return _objects(path, Path(out), opener)
    return _map(path, Path(out) if out else None, opener)


def _opener(values: Values) -> Unseal:
    password = values.text("keyPasswordFile")
    try:
        certificate, key = load_opener(
            Path(values.text("certFile")),
            Path(values.text("keyFile")),
            Path(password).read_bytes().rstrip(b"\r\n") if password else None,
        )
    except InvalidRequest as exc:
        raise CommandProblem(f"--certFile and --keyFile cannot be used: {exc}.") from exc
    except OSError as exc:
        raise CommandProblem(f"--keyPasswordFile cannot be read: {exc.strerror}") from exc
    return partial(unseal, certificate=certificate, key=key)


def _map(path: Path, out: Path | None, opener: Unseal) -> int:
    try:
        plain = opener(_read(path))
    except Unreadable as exc:
        raise CommandProblem(
            f"{path} cannot be opened: it was not encrypted for this certificate, or it is damaged."
        ) from exc
    if out is None:
        print(plain.decode("utf-8").replace("\r\n", "\n"), end="")
        return OK
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(plain)
    except FileExistsError as exc:
        raise CommandProblem(f"{out} exists. Give another --out.") from exc
    except OSError as exc:
        raise CommandProblem(f"{out} cannot be written: {exc.strerror}") from exc
    return OK


def _objects(path: Path, out: Path, opener: Unseal) -> int:
    """Write the original of each object; say which ones have none, and which cannot be opened."""
    if out.resolve().is_relative_to(path.resolve()):
        raise CommandProblem("--out lies in --path, beside the anonymised files.")
    opened = failed = without = 0
    for file in files_below(path) if path.is_dir() else [path]:
        if not _is_dicom(file):
            continue
        try:
            _write(recovered(_read(file), opener), out)
            opened += 1
        except NotFound:
            without += 1
        except Rejected as exc:
            if isinstance(exc, CommandProblem):  # the disk, not the object
                raise
            failed += 1
            print(f"{file}: {exc.sentence}", file=sys.stderr)
    print(f"{opened} restored into {out}, {without} without encrypted attributes, {failed} failed.")
    return OK if opened and not failed else FAILED


def _write(original: bytes, out: Path) -> None:
    header = read_header(original, complete=True)
    if header is None:
        raise Unreadable("what was restored is no object")
    uid = header.ref.sop_instance_uid
    target = out / file_name(header.sop_class_uid, header.modality, uid)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if target.exists() and target.read_bytes() != original:  # another version of it
            digest = hashlib.sha256(original).hexdigest()
            target = out / file_name(header.sop_class_uid, header.modality, uid, digest)
        write_atomically(target, original)
    except OSError as exc:
        raise CommandProblem(f"{target} cannot be written: {exc.strerror}") from exc


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC
    except OSError as exc:
        raise CommandProblem(f"{path} cannot be read: {exc.strerror}") from exc


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise CommandProblem(f"{path} cannot be read: {exc.strerror}") from exc
