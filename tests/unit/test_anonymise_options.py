"""What `--anonymize` may be given, and what it is given by default; the map of who became whom."""

from __future__ import annotations

import csv
import json
import stat
import sys
from pathlib import Path

import pytest

from dicomcore.deident import BurnedIn
from dicomcore.pseudonym_map import COLUMNS, Renamed
from dicomio.sealed import load_certificates, load_opener, unseal
from dicomtools.anonymize_options import Anonymization
from dicomtools.commands import RETRIEVE
from dicomtools.config import resolve
from dicomtools.options import parse_command_line
from dicomtools.problems import CommandProblem
from dicomtools.pseudonym_map import PseudonymMap, append_to_map
from dicomtools.retrieve_options import RetrieveOptions, retrieve_options
from dicomtools.settings import Layer, environment_layer, layers
from tests.recipients import Recipient, recipient

NEW = ("--anonymize", "--newPatientId", "NEW", "--newPatientName", "NEW^NAME")


def options(
    path: Path, *words: str, patient_id: str = "CANARY-1", settings: tuple[Layer, ...] = ()
) -> RetrieveOptions:
    usual = ["--hostName", "pacs", "--hostPort", "104", "--callingAet", "US", "--calledAet", "IT"]
    usual += ["--patientId", patient_id, "--path", str(path / "out")]
    values, _ = resolve(RETRIEVE, parse_command_line(RETRIEVE, [*usual, *words]), settings)
    return retrieve_options(values, settings)


def how(path: Path, *words: str, settings: tuple[Layer, ...] = ()) -> Anonymization:
    found = options(path, *NEW, *words, settings=settings).anonymization
    assert found is not None
    return found


def anonymizer(**settings: object) -> tuple[Layer, ...]:
    return (Layer("appsettings.json", {"DicomAnonymizer": settings}),)


def test_by_default_the_profile_is_that_for_aria_and_the_key_is_new_each_time(
    tmp_path: Path,
) -> None:
    first, second = how(tmp_path), how(tmp_path)

    assert first.profile.name == "AriaSecurityProfile.csv"
    assert first.options == {"CleanDesc", "RetainDeviceIdent"}
    assert first.key != second.key
    assert len(first.key) == 32
    assert not first.key_is_kept
    assert first.pseudonym_map is None
    assert first.seal is None
    assert not first.allow_partial
    assert first.allowed_burned_in == frozenset()
    assert first.key.hex() not in repr(first)


def test_profile_and_options_come_from_the_settings(tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text('tag,Basic\n"(0010,0010)",Z' + "," * 10 + "\n", encoding="utf-8-sig")

    shipped = how(
        tmp_path,
        settings=anonymizer(
            SecurityProfileFileName="BasicSecurityProfile.csv",
            SecurityProfileOptions=["BasicProfile", "RetainUIDs"],
        ),
    )
    own = how(
        tmp_path, settings=anonymizer(SecurityProfileFileName=str(mine), SecurityProfileOptions=[])
    )

    assert shipped.profile.name == "BasicSecurityProfile.csv"
    assert shipped.options == {"RetainUIDs"}
    assert own.profile.name == "mine.csv"
    assert own.options == frozenset()


@pytest.mark.parametrize(
    "variables",
    [
        {"DicomAnonymizer__SecurityProfileOptions": "CleanGraph, RetainUIDs"},
        {
            "DicomAnonymizer:SecurityProfileOptions:0": "CleanGraph",
            "DicomAnonymizer:SecurityProfileOptions:1": "RetainUIDs",
        },
    ],
)
def test_options_of_the_environment_win(tmp_path: Path, variables: dict[str, str]) -> None:
    below = anonymizer(SecurityProfileOptions=["CleanDesc"])

    found = how(tmp_path, settings=(environment_layer(variables), *below))

    assert found.options == {"CleanGraph", "RetainUIDs"}


def test_settings_files_are_read_as_the_original_writes_them(tmp_path: Path) -> None:
    settings = {"SecurityProfileFileName": "BasicSecurityProfile.csv", "AllowBurnedIn": ["scout"]}
    (tmp_path / "appsettings.json").write_text(json.dumps({"DicomAnonymizer": settings}))

    found = how(tmp_path, settings=layers(tmp_path))

    assert found.profile.name == "BasicSecurityProfile.csv"
    assert found.allowed_burned_in == {BurnedIn.SCOUT}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SecurityProfileFileName": "absent.csv"}, "absent.csv cannot be used"),
        ({"SecurityProfileFileName": "bad.csv"}, "line=1"),
        ({"SecurityProfileFileName": "latin.csv"}, "not text in UTF-8"),
        ({"SecurityProfileOptions": ["CleanEverything"]}, "no such option"),
        ({"SecurityProfileOptions": ["RetainLongFullDates", "RetainLongModifDates"]}, "exclude"),
    ],
)
def test_settings_that_cannot_be_understood_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text("(0010,0010),Q\n")
    (tmp_path / "latin.csv").write_bytes(b"\xe4")

    with pytest.raises(CommandProblem) as problem:
        how(tmp_path, settings=anonymizer(**settings))

    assert said in problem.value.words


@pytest.mark.parametrize("burned_in", ["declared", "all"])
def test_an_image_that_says_that_a_name_is_in_it_can_never_be_allowed(
    tmp_path: Path, burned_in: str
) -> None:
    with pytest.raises(CommandProblem):
        how(tmp_path, "--allowBurnedIn", burned_in)


@pytest.mark.parametrize(
    "name", ["--newPatientId", "--newPatientName", "--anonymizationKeyFile", "--mapFile"]
)
def test_what_belongs_to_an_anonymisation_is_refused_without_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandProblem) as problem:
        options(tmp_path, name, "x")

    assert f"{name} without --anonymize" in problem.value.words


@pytest.mark.parametrize("given", [(), NEW[1:3], NEW[3:], (*NEW[1:3], "--newPatientName", " ")])
def test_both_new_values_are_needed(tmp_path: Path, given: tuple[str, ...]) -> None:
    with pytest.raises(CommandProblem) as problem:
        options(tmp_path, "--anonymize", *given)

    assert "needs --newPatientId and --newPatientName" in problem.value.words


@pytest.mark.parametrize(
    ("new_id", "new_name", "said"),
    [
        ("canary-1", "X", "holds the old patient ID"),
        ("X", "study-CANARY-1", "holds the old patient ID"),
        ("Ä", "X", "ASCII"),
        ("A\\B", "X", "ASCII"),
        ("x" * 65, "X", "1 to 64"),
    ],
)
def test_new_names_that_tell_the_old_ones_or_are_none_are_refused(
    tmp_path: Path, new_id: str, new_name: str, said: str
) -> None:
    with pytest.raises(CommandProblem) as problem:
        options(tmp_path, "--anonymize", "--newPatientId", new_id, "--newPatientName", new_name)

    assert said in problem.value.words


def test_several_patients_are_numbered_in_the_order_of_the_list(tmp_path: Path) -> None:
    found = options(tmp_path, *NEW, patient_id="B;A;B;C").patients

    assert [(p.patient_id, p.new_patient_id, p.new_patient_name, p.folder) for p in found] == [
        ("B", "NEW-01", "NEW^NAME-01", "NEW-01"),
        ("A", "NEW-02", "NEW^NAME-02", "NEW-02"),
        ("C", "NEW-03", "NEW^NAME-03", "NEW-03"),
    ]
    assert [p.shown for p in found] == ["NEW-01", "NEW-02", "NEW-03"]
    many = options(tmp_path, *NEW, patient_id=";".join(f"P{n}" for n in range(100))).patients
    assert (many[0].folder, many[99].folder) == ("NEW-001", "NEW-100")


def test_the_key_is_what_the_file_holds_and_a_short_one_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(" sixteen letters!\n")

    found = how(tmp_path, "--anonymizationKeyFile", str(key))

    assert (found.key, found.key_is_kept) == (b"sixteen letters!", True)
    key.write_text("too short")
    for file, said in ((key, "less than 16 bytes"), (tmp_path / "absent", "cannot be read")):
        with pytest.raises(CommandProblem) as problem:
            how(tmp_path, "--anonymizationKeyFile", str(file))
        assert said in problem.value.words


@pytest.mark.parametrize("name", ["--mapFile", "--anonymizationKeyFile", "--storePath"])
def test_what_leads_back_to_the_patient_does_not_lie_beside_the_export(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(CommandProblem) as problem:
        how(tmp_path, name, str(tmp_path / "elsewhere" / ".." / "out" / "x"))

    assert "lies in --path" in problem.value.words


def test_the_map_is_appended_to_and_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.touch(mode=0o666)
    lines = [
        Renamed("P;1", 'O"Neil, Ä', "NEW-01", "N^1", "2030-01-01T00:00:00+00:00"),
        Renamed("P2", "", "NEW-02", "N^2", "2030-01-01T00:00:01+00:00"),
    ]

    for line in lines:
        append_to_map(path, line)

    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert rows == [
        ["P;1", 'O"Neil, Ä', "NEW-01", "N^1", "2030-01-01T00:00:00+00:00"],
        ["P2", "", "NEW-02", "N^2", "2030-01-01T00:00:01+00:00"],
    ]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "Neil" not in repr(lines)


def test_a_map_that_cannot_be_written_is_a_problem_in_words(tmp_path: Path) -> None:
    with pytest.raises(CommandProblem) as problem:
        append_to_map(tmp_path, Renamed("P", "N", "NEW", "NEW", "now"))
    with pytest.raises(CommandProblem):
        how(tmp_path, "--mapFile", str(tmp_path / "absent" / "map.csv"))

    assert "--mapFile cannot be written" in problem.value.words


def opened(path: Path, holder: Recipient) -> list[list[str]]:
    plain = unseal(path.read_bytes(), *load_opener(holder.cert_file, holder.key_file))
    return list(csv.reader(plain.decode().splitlines()))


def test_with_a_certificate_the_map_is_encrypted_and_lies_beside_the_folder(
    tmp_path: Path,
) -> None:
    holder = recipient(tmp_path)

    by_default = how(tmp_path, "--mapCertificate", str(holder.cert_file)).pseudonym_map
    named = how(
        tmp_path,
        *("--map-certificate", str(holder.cert_file), "--mapFile", str(tmp_path / "who.csv")),
    ).pseudonym_map
    configured = how(
        tmp_path, settings=anonymizer(MapCertificate=[str(holder.cert_file)])
    ).pseudonym_map

    assert by_default is not None
    assert named is not None
    assert configured is not None
    assert by_default.is_sealed
    assert by_default.path == configured.path == tmp_path / "anonymization_map.csv.p7m"
    assert named.path == tmp_path / "who.csv.p7m"
    assert list(tmp_path.glob("*.p7m")) == []


def test_an_encrypted_map_has_every_line_and_is_never_written_over(tmp_path: Path) -> None:
    holder = recipient(tmp_path)
    certificates = load_certificates(holder.cert_file)
    lines = [Renamed(f"P{n}", "Ä^B", f"NEW-0{n}", "N", "now") for n in (1, 2)]

    first = PseudonymMap(tmp_path / "map.csv", certificates)
    for line in lines:
        first.add(line)
    second = PseudonymMap(tmp_path / "map.csv", certificates)
    second.add(lines[1])

    assert first.path == tmp_path / "map.csv.p7m"
    assert second.path == tmp_path / "map-2.csv.p7m"
    header, *rows = opened(first.path, holder)
    assert tuple(header) == COLUMNS
    assert [row[0] for row in rows] == ["P1", "P2"]
    assert len(opened(second.path, holder)) == 2
    assert sorted(path.name for path in tmp_path.glob("*map*")) == ["map-2.csv.p7m", "map.csv.p7m"]


@pytest.mark.parametrize("words", [{"days": (-9, -1)}, {"usage": "digital_signature"}])
def test_a_certificate_that_cannot_be_used_is_a_problem_in_words(
    tmp_path: Path, words: dict[str, object]
) -> None:
    holder = recipient(tmp_path, **words)  # type: ignore[arg-type]

    for file in (holder.cert_file, tmp_path / "absent.pem", holder.key_file):
        with pytest.raises(CommandProblem) as problem:
            how(tmp_path, "--mapCertificate", str(file))
        assert problem.value.words.startswith("--mapCertificate cannot be used: the ")


def test_attributes_are_encrypted_to_the_certificate_or_not_at_all(tmp_path: Path) -> None:
    holder = recipient(tmp_path)

    found = how(tmp_path, "--mapCertificate", str(holder.cert_file), "--encryptAttributes")
    with pytest.raises(CommandProblem, match="cannot be carried out") as problem:
        how(tmp_path, "--encryptAttributes")

    assert found.seal is not None
    key = load_opener(holder.cert_file, holder.key_file)
    assert unseal(found.seal(b"secret"), *key) == b"secret"
    assert "--mapCertificate" in problem.value.words


def test_what_encrypts_is_refused_without_anonymisation_unless_the_settings_have_it(
    tmp_path: Path,
) -> None:
    certificate = str(recipient(tmp_path).cert_file)

    for words in (["--mapCertificate", certificate], ["--encryptAttributes"]):
        with pytest.raises(CommandProblem) as problem:
            options(tmp_path, *words)
        assert f"{words[0]} without --anonymize" in problem.value.words
    settings = anonymizer(MapCertificate=[certificate], EncryptAttributes=True)
    assert options(tmp_path, settings=settings).anonymization is None


def test_a_map_that_cannot_be_sealed_or_written_is_a_problem_in_words(tmp_path: Path) -> None:
    from cryptography import x509

    line = Renamed("P", "N", "NEW", "NEW", "now")
    expired = recipient(tmp_path, "expired", days=(-9, -1))
    certificate = x509.load_pem_x509_certificate(expired.cert_file.read_bytes())
    valid = load_certificates(recipient(tmp_path).cert_file)

    with pytest.raises(CommandProblem) as problem:
        PseudonymMap(tmp_path / "map.csv", [certificate]).add(line)
    assert "cannot be encrypted: the certificate has expired" in problem.value.words
    assert list(tmp_path.glob("*.p7m")) == []
    with pytest.raises(CommandProblem) as problem:
        PseudonymMap(tmp_path / "absent" / "map.csv", valid).add(line)
    assert "--mapFile cannot be written" in problem.value.words
