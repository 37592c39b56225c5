"""`dicomtools retrieve --anonymize` as people run it: nothing of the patient leaves, all else does."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicomcore import render
from dicomcore.deident.uid_map import KeyedMap
from dicomcore.header import read_header
from dicomcore.keys import INSTANCES, object_key
from dicomcore.model import InstanceHeader
from dicomcore.received import StoredInstance
from dicomcore.tree import build_trees
from dicomio.directory_store import DirectoryStore
from dicomio.landing import Lander
from dicomtools.demo.faults import ALWAYS, Faults
from dicomtools.demo.made_up import MadeUpPatient
from dicomtools.demo.patients import small_patient
from store_scp.options import ScpOptions
from store_scp.server import StoreScp
from tests import factories
from tests.integration import test_retrieve_command as command
from tests.recipients import recipient

CANARY = b"canary"
KEY = "a secret of the clinic, long enough"
LABEL = "PLAN_1"
WORDS = ["--planId", LABEL, "--anonymize", "--newPatientName", "NEW^NAME"]
IMAGES = ["--allowBurnedIn", "rt_image"]


def poisoned(patient: MadeUpPatient) -> MadeUpPatient:
    """Return the patient with an identity in many places."""
    for dataset in patient.datasets:
        dataset.PatientName = "CANARYNAME^CANARYGIVEN"
        dataset.PatientBirthDate = "19431107"
        dataset.InstitutionName = "CANARYCLINIC"
        dataset.OperatorsName = "CANARYOPERATOR"
        dataset.AccessionNumber = "CANARYACC"
        dataset.SeriesDescription = "for Canaryname, head"
        dataset.private_block(0x3253, "CANARYMAKER", create=True).add_new(
            0, "UT", "<Patient>CANARYNAME</Patient>"
        )
        if dataset.Modality == "RTPLAN":
            dataset.RTPlanDescription = "boost for CANARYNAME"
    return patient


FIRST = poisoned(small_patient(patient_id="CANARY-FIRST", seed=1))
SECOND = poisoned(small_patient(patient_id="CANARY-SECOND", seed=2))


@pytest.fixture(autouse=True)
def _patients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "DATASETS", [*FIRST.datasets, *SECOND.datasets])


@pytest.fixture(autouse=True)
def _no_original_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test does: the folder for temporary files is empty afterwards."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(temporary))
    yield
    assert list(temporary.iterdir()) == []


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{KEY}\n")
    return path


def uids_of(dataset: Dataset) -> Iterator[str]:
    """Every UID of an object that names something of the patient, at every level."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from uids_of(item)
        elif element.VR == "UI" and "SOPClass" not in element.keyword:
            values = element.value if element.VM > 1 else [element.value]
            yield from (str(uid) for uid in values if uid)


ORIGINAL_UIDS = {
    uid.encode() for patient in (FIRST, SECOND) for ds in patient.datasets for uid in uids_of(ds)
}


def assert_nothing_leaked(folder: Path, *said: str) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    outputs = [path.read_bytes() for path in files]
    outputs += [str(path.relative_to(folder)).encode() for path in folder.rglob("*")]
    outputs += [text.encode() for text in said]
    for output in outputs:
        assert CANARY not in output.lower()
        assert "canary".encode("utf-16-le") not in output.lower()
        assert b"19431107" not in output
        assert ORIGINAL_UIDS.isdisjoint(re.findall(rb"\d+(?:\.\d+){3,}", output))


def headers_in(folder: Path) -> list[InstanceHeader]:
    read = (read_header(path.read_bytes(), complete=True) for path in folder.glob("*.dcm"))
    return [header for header in read if header is not None]


def test_an_export_is_anonymous_in_every_byte_and_its_references_are_the_same(
    tmp_path: Path, key_file: Path
) -> None:
    out, map_file = tmp_path / "out", tmp_path / "map.csv"
    words = [
        "--patientId",
        FIRST.patient_id,
        "--newPatientId",
        "NEW",
        *WORDS,
        *IMAGES,
        "--useGet",
        "--showTree",
    ]
    words += ["--anonymizationKeyFile", str(key_file), "--mapFile", str(map_file)]
    with command.clinic() as at:
        done = at.run(out, *words)

    assert done.returncode == 0, done.stdout + done.stderr
    assert_nothing_leaked(out, done.stdout, done.stderr)
    new_uid = KeyedMap(KEY.encode()).uid
    closure = FIRST.closure(LABEL)
    assert command.uids_in(out) == {new_uid(uid) for uid in closure}
    exported = {str(header.ref.sop_instance_uid): header for header in headers_in(out)}
    originals = [
        read_header(factories.part10(i.dataset), complete=True)
        for i in FIRST.instances
        if i.ref.sop_instance_uid in closure
    ]
    for before in originals:
        assert before is not None
        after = exported.pop(new_uid(before.ref.sop_instance_uid))
        assert after.ref.series_instance_uid == new_uid(before.ref.series_instance_uid)
        assert after.ref.study_instance_uid == new_uid(before.ref.study_instance_uid)
        assert [(r.relation, r.uid) for r in after.references] == [
            (r.relation, new_uid(r.uid)) for r in before.references
        ]
        assert (after.patient_id, after.patient_name) == ("NEW", "NEW^NAME")
    assert exported == {}
    tree = "\n".join(map(render.text, build_trees(headers_in(out))))
    assert tree.strip() in done.stdout
    whole = "\n".join(map(render.text, build_trees(h for h in originals if h is not None)))
    assert skeleton(tree) == skeleton(whole)
    for path in out.glob("*.dcm"):
        dataset = dcmread(path)
        assert dataset.PatientIdentityRemoved == "YES"
        assert "113105" in [code.CodeValue for code in dataset.DeidentificationMethodCodeSequence]
    manifest = command.manifest_of(out)
    assert manifest["anonymization"]["profile"] == "AriaSecurityProfile.csv"
    assert manifest["anonymization"]["options"] == ["CleanDesc", "RetainDeviceIdent"]
    assert manifest["state"] == "complete"
    assert {entry["sha256"] for entry in manifest["instances"]} == {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*.dcm")
    }
    assert sorted(path.name for path in out.iterdir() if path.suffix != ".dcm") == ["manifest.json"]
    (row,) = csv.DictReader(map_file.read_text().splitlines())
    stamp = row.pop("TimestampUtc")
    assert stamp.endswith("+00:00")
    assert row == {
        "OriginalPatientId": FIRST.patient_id,
        "OriginalPatientName": "CANARYNAME^CANARYGIVEN",
        "AnonymizedPatientId": "NEW",
        "AnonymizedPatientName": "NEW^NAME",
    }
    if sys.platform != "win32":
        assert stat.S_IMODE(map_file.stat().st_mode) == 0o600
    assert_the_same_tree_after_import(out, tmp_path / "again", tree)


def skeleton(tree: str) -> list[str]:
    """Return what each line is about, as deep as it stands: without dates and what names machines."""
    lines = tree.strip().splitlines()[1:]  # the first names the patient
    return [re.sub(r"_small$", "", re.split(r",| \[", line)[0]) for line in lines]


def assert_the_same_tree_after_import(out: Path, again: Path, tree: str) -> None:
    """Send the export to a store-scp of ours; what landed has the same tree."""
    store = DirectoryStore(again)
    lander = Lander(store, nobody_listens)
    scp = StoreScp(ScpOptions(ae_title="AGAIN", host="127.0.0.1", port=0), lander.land)
    scp.start()
    try:
        sent = subprocess.run(
            [
                *(sys.executable, "-m", "dicomtools.main", "store", "--path", str(out)),
                *("--hostName", "127.0.0.1", "--hostPort", str(scp.port)),
                *("--callingAet", "TEST_SCU", "--calledAet", "AGAIN", "--allowAnyManufacturer"),
            ],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=command.DEADLINE_S,
            cwd=again,
        )
    finally:
        scp.stop()
    assert sent.returncode == 0, sent.stdout + sent.stderr
    bodies = [store.get(entry.key) for entry in store.list(INSTANCES)]
    read = (read_header(body, complete=True) for body in bodies)
    landed = [header for header in read if header is not None]
    store.close()
    assert len(landed) == len(list(out.glob("*.dcm")))
    assert "\n".join(map(render.text, build_trees(landed))) == tree


def test_the_key_holder_alone_learns_who_it_was_and_gets_the_originals_back(tmp_path: Path) -> None:
    # given a certificate; its holder's key is elsewhere
    holder = recipient(tmp_path, "keeper")
    out, back = tmp_path / "out", tmp_path / "back"
    words = ["--patientId", FIRST.patient_id, "--newPatientId", "NEW", *WORDS, *IMAGES]
    words += ["--mapCertificate", str(holder.cert_file), "--encryptAttributes", "--useGet"]

    # when the patient is exported
    with command.clinic() as at:
        done = at.run(out, *words)

    # then nothing tells who it was, to whoever has not the key
    assert done.returncode == 0, done.stdout + done.stderr
    assert_nothing_leaked(out, done.stdout, done.stderr)
    sealed = tmp_path / "anonymization_map.csv.p7m"
    assert f"{sealed}, encrypted" in done.stdout
    assert CANARY not in sealed.read_bytes().lower()
    exported = [dcmread(path) for path in out.glob("*.dcm")]
    assert all(len(dataset.EncryptedAttributesSequence) == 1 for dataset in exported)

    # and whoever has it reads the map, and has the original objects
    key = ["--certFile", str(holder.cert_file), "--keyFile", str(holder.key_file)]
    shown = reveal("--path", str(sealed), *key)
    assert FIRST.patient_id in shown
    assert "CANARYNAME^CANARYGIVEN" in shown
    reveal("--path", str(out), "--out", str(back), *key)
    originals = {str(i.ref.sop_instance_uid): i.dataset for i in FIRST.instances}
    restored = [dcmread(path) for path in back.glob("*.dcm")]
    assert len(restored) == len(exported) == len(FIRST.closure(LABEL))
    for dataset in restored:
        assert dataset == originals[dataset.SOPInstanceUID]


def reveal(*words: str) -> str:
    """Run the command; return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "dicomtools.main", "reveal", *words],
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=command.DEADLINE_S,
    )
    return done.stdout


def nobody_listens(stored: StoredInstance, calling_ae_title: str) -> None:
    del stored, calling_ae_title


def test_one_image_that_may_show_a_name_holds_the_whole_export_back(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--patientId", FIRST.patient_id, "--newPatientId", "NEW", *WORDS]
    with command.clinic() as at:
        done = at.run(out, *words, "--mapFile", str(tmp_path / "map.csv"))

        assert done.returncode == 1
        assert [path.name for path in out.rglob("*")] == ["manifest.json"]
        assert_nothing_leaked(out, done.stdout, done.stderr)
        manifest = command.manifest_of(out)
        assert (manifest["state"], manifest["instances"]) == ("failed", [])
        assert [one["faults"] for one in manifest["quarantined"]] == [["burned_in:rt_image"]] * 4
        assert "FAILED: nothing was exported." in done.stdout
        assert "--allowBurnedIn rt_image" in done.stdout
        assert not (tmp_path / "map.csv").exists()

        done = at.run(out, *words, "--force", "--allowPartialExport", "--json")

    assert done.returncode == 1
    assert_nothing_leaked(out, done.stdout, done.stderr)
    assert not list(out.glob("RI.*"))
    assert len(list(out.glob("*.dcm"))) == len(FIRST.closure(LABEL)) - 4
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["patient_id"], result["state"]) == ("NEW", "partial")
    assert len(result["quarantined"]) == 4


def test_an_object_that_cannot_be_processed_leaves_no_object_and_only_its_new_uid(
    tmp_path: Path, key_file: Path
) -> None:
    # given a broken version of the plan, which an earlier retrieval had kept
    out = tmp_path / "out"
    plan = next(i for i in FIRST.instances if i.dataset.get("RTPlanLabel") == LABEL)
    broken = factories.part10(plan.dataset)
    broken += b"\x53\x33\x10\x10SQ\0\0\x20\0\0\0" + b"CANARYNAME garbage, no items in."
    store = DirectoryStore(tmp_path / "store")
    store.put(str(object_key(plan.ref, hashlib.sha256(broken).hexdigest())), [broken])
    store.close()
    words = ["--patientId", FIRST.patient_id, "--newPatientId", "NEW", *WORDS, *IMAGES]
    words += ["--storePath", str(tmp_path / "store"), "--anonymizationKeyFile", str(key_file)]

    with command.clinic() as at:
        done = at.run(out, *words)

    assert done.returncode == 1
    assert [path.name for path in out.rglob("*")] == ["manifest.json"]
    assert_nothing_leaked(out, done.stdout, done.stderr)
    (quarantined,) = command.manifest_of(out)["quarantined"]
    assert quarantined["sop_instance_uid"] == KeyedMap(KEY.encode()).uid(plan.ref.sop_instance_uid)
    assert all(fault.startswith("not_processed") for fault in quarantined["faults"])


def test_several_patients_are_numbered_and_a_repetition_gives_the_same_files(
    tmp_path: Path, key_file: Path
) -> None:
    out = tmp_path / "out"
    words = [
        "--patientId",
        f"{FIRST.patient_id};NOBODY;{SECOND.patient_id}",
        "--newPatientId",
        "NEW",
    ]
    words += [*WORDS, *IMAGES, "--anonymizationKeyFile", str(key_file)]
    with command.clinic() as at:
        done = at.run(out, *words)

        assert {request.command for request in at.pacs.requests} >= {"C-MOVE"}
        assert done.returncode == 1, done.stderr
        assert sorted(path.name for path in out.iterdir()) == ["NEW-01", "NEW-03"]
        assert_nothing_leaked(out, done.stdout, done.stderr)
        assert done.stdout.rstrip().endswith("Not complete:\n  NEW-02")
        for place in ("01", "03"):
            for path in (out / f"NEW-{place}").glob("*.dcm"):
                dataset = dcmread(path)
                assert dataset.PatientID == f"NEW-{place}"
                assert dataset.PatientName == f"NEW^NAME-{place}"
        before = {path: path.read_bytes() for path in out.rglob("*.dcm")}

        at.run(out, *words, "--force")

    assert {path: path.read_bytes() for path in out.rglob("*.dcm")} == before


def test_a_profile_that_keeps_the_birth_date_is_caught_by_the_verification(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text('"(0010,0030)",K' + "," * 10 + "\n")
    settings = {"SecurityProfileFileName": "mine.csv", "SecurityProfileOptions": []}
    (tmp_path / "appsettings.json").write_text(json.dumps({"DicomAnonymizer": settings}))
    out = tmp_path / "out"
    words = ["--patientId", FIRST.patient_id, "--newPatientId", "NEW", *WORDS, *IMAGES]
    with command.clinic() as at:
        done = at.run(out, *words)

    assert done.returncode == 1
    assert [path.name for path in out.rglob("*")] == ["manifest.json"]
    assert_nothing_leaked(out, done.stdout, done.stderr)
    manifest = command.manifest_of(out)
    assert len(manifest["quarantined"]) == len(FIRST.closure(LABEL))
    assert all("identifier:00100030" in one["faults"] for one in manifest["quarantined"])


def test_what_is_missing_and_which_plans_there_are_is_said_without_their_names(
    tmp_path: Path,
) -> None:
    lost = command.image_of(FIRST, LABEL)
    out = tmp_path / "out"
    words = ["--patientId", FIRST.patient_id, "--newPatientId", "NEW", *WORDS, *IMAGES]
    with command.clinic(Faults(unretrievable=frozenset({lost}))) as at:
        done = at.run(out, *words)

        unknown = at.run(tmp_path / "none", *words, "--planId=absent")

    assert done.returncode == unknown.returncode == 1
    assert "NOT COMPLETE: 1 object missing." in done.stdout
    assert_nothing_leaked(out, done.stdout, done.stderr, unknown.stdout, unknown.stderr)
    (missing,) = command.manifest_of(out)["missing"]
    assert missing["uid"].startswith("2.25.")


def test_a_folder_with_originals_is_not_written_into_and_none_is_written_beside_anonymous_ones(
    tmp_path: Path,
) -> None:
    plain, out = tmp_path / "plain", tmp_path / "out"
    anonymous = [
        "--patientId",
        FIRST.patient_id,
        "--newPatientId",
        "NEW",
        *WORDS,
        *IMAGES,
        "--force",
    ]
    original = ["--patientId", FIRST.patient_id, "--planId", LABEL, "--useGet", "--force"]
    plain.mkdir()
    (plain / "x").write_bytes(factories.part10(factories.ct()))
    with command.clinic() as at:
        refused = at.run(plain, *anonymous)

        assert at.pacs.requests == ()
        assert at.run(out, *anonymous).returncode == 0
        beside = at.run(out, *original)

    assert refused.returncode == beside.returncode == 1
    assert "not known to be anonymised" in refused.stderr
    assert [path.name for path in plain.iterdir()] == ["x"]
    assert "holds an anonymised export" in beside.stdout
    assert_nothing_leaked(out)


def test_ctrl_c_exports_nothing_and_leaves_no_original(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--patientId", FIRST.patient_id, "--newPatientId", "NEW", *WORDS, *IMAGES, "--useGet"]
    stalls = Faults(stall_after=2, stall_s=command.DEADLINE_S, stall_times=ALWAYS)
    with command.clinic(stalls) as at:
        running = subprocess.Popen(
            at.words(out, *words, "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=tmp_path,
        )
        assert running.stdout is not None
        said = ""
        for line in running.stdout:
            said += line
            if json.loads(line)["landed"] >= 2:
                break
        assert any(path.is_file() for path in (tmp_path / "temporary").rglob("*.dcm"))
        running.send_signal(signal.SIGINT)
        more, error = running.communicate(timeout=command.DEADLINE_S)

    assert running.returncode == 1
    assert "nothing was exported" in error
    assert not out.exists()
    assert CANARY not in (said + more + error).lower().encode()
