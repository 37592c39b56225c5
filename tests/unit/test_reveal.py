"""`dicomtools reveal`: the key holder reads who became whom, and gets the objects back."""

from __future__ import annotations

import stat
import sys
from functools import partial
from pathlib import Path

import pytest

from dicomcore.deident import (
    Deidentifier,
    PatientIdentity,
    collect_identifiers,
    shipped_profile,
)
from dicomio.sealed import load_certificates, seal
from dicomtools.main import main
from tests import factories
from tests.recipients import Recipient, recipient, rsa_key

ROWS = b"OriginalPatientId,AnonymizedPatientId\r\nDEMO-1,NEW\r\n"


@pytest.fixture
def holder(tmp_path: Path) -> Recipient:
    return recipient(tmp_path, "keeper")


@pytest.fixture
def sealed_map(tmp_path: Path, holder: Recipient) -> Path:
    path = tmp_path / "anonymization_map.csv.p7m"
    path.write_bytes(seal(ROWS, load_certificates(holder.cert_file)))
    return path


def words(path: Path, holder: Recipient, *more: str) -> list[str]:
    key = ["--certFile", str(holder.cert_file), "--keyFile", str(holder.key_file)]
    return ["reveal", "--path", str(path), *key, *more]


def objects() -> list[bytes]:
    made = (factories.plan(), factories.structure_set(), factories.ct())
    return [factories.part10(ds) for ds in made]


def export(folder: Path, holder: Recipient, *, sealed: bool = True) -> None:
    folder.mkdir()
    sealing = partial(seal, certificates=load_certificates(holder.cert_file)) if sealed else None
    engine = Deidentifier(
        shipped_profile("BasicSecurityProfile"),
        frozenset(),
        b"k" * 32,
        PatientIdentity("DEMO-1", "NEW", "NEW"),
        collect_identifiers(objects(), frozenset()),
        seal=sealing,
    )
    for number, data in enumerate(objects()):
        (folder / f"{number}.dcm").write_bytes(engine.apply(data).to_bytes())


def body(data: bytes) -> bytes:
    return data[144 + int.from_bytes(data[140:144], "little") :]


def test_a_map_is_shown(
    sealed_map: Path, holder: Recipient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(sealed_map, holder)) == 0

    assert capsys.readouterr().out.encode() == ROWS.replace(b"\r\n", b"\n")


def test_a_map_is_written_for_its_owner_alone_and_nothing_is_written_over(
    tmp_path: Path, sealed_map: Path, holder: Recipient, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "who.csv"

    assert main(words(sealed_map, holder, "--out", str(out))) == 0
    assert main(words(sealed_map, holder, "--out", str(out))) == 1

    assert out.read_bytes() == ROWS
    assert f"{out} exists" in capsys.readouterr().err
    if sys.platform != "win32":
        assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_key_with_a_password_opens_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = recipient(tmp_path, "locked", password=b"open sesame")
    sealed, password = tmp_path / "map.p7m", tmp_path / "password"
    sealed.write_bytes(seal(ROWS, load_certificates(holder.cert_file)))
    password.write_text("open sesame\n")

    assert main(words(sealed, holder)) == 1
    assert "no password is given" in capsys.readouterr().err
    assert main(words(sealed, holder, "--keyPasswordFile", str(password))) == 0
    assert "DEMO-1" in capsys.readouterr().out


def test_another_key_opens_nothing(
    tmp_path: Path, sealed_map: Path, holder: Recipient, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = recipient(tmp_path, "stranger", key=rsa_key(5))
    export(tmp_path / "export", holder)

    assert main(words(sealed_map, stranger)) == 1
    assert "was not encrypted for this certificate" in capsys.readouterr().err
    out = tmp_path / "back"
    assert main(words(tmp_path / "export", stranger, "--out", str(out))) == 1
    said = capsys.readouterr()
    assert said.err.count("not sealed to this certificate") == 3
    assert "3 failed" in said.out
    assert not out.exists()


def test_the_objects_come_back_as_they_were(
    tmp_path: Path, holder: Recipient, capsys: pytest.CaptureFixture[str]
) -> None:
    export(tmp_path / "export", holder)
    out = tmp_path / "back"

    for _ in range(2):  # again is no change
        assert main(words(tmp_path / "export", holder, "--out", str(out))) == 0

    files = sorted(out.iterdir())
    assert [file.name[:2] for file in files] == ["CT", "RP", "RS"]
    assert {body(file.read_bytes()) for file in files} == {body(data) for data in objects()}
    assert "3 restored" in capsys.readouterr().out


def test_one_file_is_enough_and_a_folder_for_it_is_needed(
    tmp_path: Path, holder: Recipient, capsys: pytest.CaptureFixture[str]
) -> None:
    export(tmp_path / "export", holder)
    one = tmp_path / "export" / "0.dcm"

    assert main(words(one, holder)) == 1
    assert "--out is missing" in capsys.readouterr().err
    assert main(words(one, holder, "--out", str(tmp_path / "back"))) == 0
    assert len(list((tmp_path / "back").iterdir())) == 1


def test_objects_without_encrypted_attributes_are_counted_and_the_command_fails(
    tmp_path: Path, holder: Recipient, capsys: pytest.CaptureFixture[str]
) -> None:
    export(tmp_path / "export", holder, sealed=False)

    assert main(words(tmp_path / "export", holder, "--out", str(tmp_path / "back"))) == 1

    assert "3 without encrypted attributes" in capsys.readouterr().out


def test_originals_are_not_written_beside_the_export(
    tmp_path: Path, holder: Recipient, capsys: pytest.CaptureFixture[str]
) -> None:
    export(tmp_path / "export", holder)

    inside = str(tmp_path / "export" / "back")
    assert main(words(tmp_path / "export", holder, "--out", inside)) == 1

    assert "--out lies in --path" in capsys.readouterr().err


def test_what_cannot_be_read_is_a_problem_in_words(
    tmp_path: Path, sealed_map: Path, holder: Recipient, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Recipient(holder.key_file, holder.key_file)
    absent = ["--keyPasswordFile", str(tmp_path / "absent")]

    for given, said in (
        (words(tmp_path / "absent", holder), "cannot be read"),
        (words(sealed_map, other), "--certFile and --keyFile cannot be used"),
        (words(sealed_map, holder, *absent), "--keyPasswordFile cannot be read"),
        (words(sealed_map, holder, "--out", str(tmp_path / "no" / "x")), "cannot be written"),
        (words(holder.cert_file, holder), "cannot be opened"),
    ):
        assert main(given) == 1
        assert said in capsys.readouterr().err
