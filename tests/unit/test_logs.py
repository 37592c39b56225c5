"""A canary patient goes down every path that logs; neither name nor ID may come out."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydicom import Dataset

from dicomcore.errors import InvalidInstance
from dicomio import logs

NAME, PATIENT_ID = "Canary^Yellow", "CAN4RY-0815"
LOUD = (NAME, "Canary", "Yellow", PATIENT_ID)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, show = list(root.handlers), root.level, warnings.showwarning
    raise_exceptions = logging.raiseExceptions
    yield
    logging.captureWarnings(capture=False)
    logging.raiseExceptions = raise_exceptions
    warnings.showwarning = show
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def configure(level: str = "debug", *, as_json: bool = True) -> None:
    logs.configure("store-scp", level, json=as_json, uncaught=False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def dataset() -> Dataset:
    ds = Dataset()
    ds.PatientName, ds.PatientID = NAME, PATIENT_ID
    return ds


def fail_with_patient() -> None:
    ds = dataset()  # a local variable: a traceback that shows locals would print it
    raise ValueError(f"cannot use {ds.PatientName} {ds.PatientID}")


def test_a_line_is_json_with_service_level_time_and_facts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure()

    structlog.get_logger().info("instance_stored", object_key="instances/1.2/3.dcm", size_bytes=7)

    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "instance_stored",
        "level": "info",
        "service": "store-scp",
        "object_key": "instances/1.2/3.dcm",
        "size_bytes": 7,
    }


def test_bound_facts_are_in_every_line_inside_and_in_none_after(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure()

    with logs.bound(association="a-1", calling_ae="ARIA"):
        structlog.get_logger().info("association_opened")
    structlog.get_logger().info("after")

    inside, after = lines(capsys)
    assert (inside["association"], inside["calling_ae"]) == ("a-1", "ARIA")
    assert "association" not in after


def test_lines_below_the_level_do_not_come_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning")

    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")

    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="debug, info"):
        logs.configure("x", "chatty", json=True, uncaught=False)


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "terminal"])
@pytest.mark.parametrize(
    "facts",
    [
        {"patient_id": PATIENT_ID},
        {"patient_name": NAME},
        {"PatientID": PATIENT_ID},
        {"PatientName": NAME},
        {"other_patient_ids": [PATIENT_ID]},
        {"accession_number": PATIENT_ID},
        {"birth_date": PATIENT_ID},
        {"plan_label": PATIENT_ID},
        {"RTPlanLabel": PATIENT_ID},
        {"dataset": dataset()},
        {"ds": dataset()},
        {"anything": dataset()},
        {"anything": dataset().PatientName},
        {"anything": NAME},
        {"anything": PATIENT_ID.encode()},
        {"anything": [dataset()]},
        {"anything": {"patient_id": PATIENT_ID}},
        {"anything": [[{"deep": {"PatientID": PATIENT_ID}}]]},
        {"error": ValueError(f"{NAME} {PATIENT_ID}")},
        {"error": InvalidInstance("missing attribute", patient_id=PATIENT_ID)},
        {"error_comment": PATIENT_ID},
        {"url": f"/v1/patients/{PATIENT_ID}/tree"},
    ],
    ids=lambda facts: f"{next(iter(facts))}={type(next(iter(facts.values()))).__name__}",
)
def test_a_patient_in_the_facts_is_withheld(
    capsys: pytest.CaptureFixture[str], facts: dict[str, object], as_json: bool
) -> None:
    configure(as_json=as_json)

    structlog.get_logger().info("instance_stored", **facts)

    output = capsys.readouterr().err
    assert "instance_stored" in output
    assert "withheld" in output
    assert not [word for word in LOUD if word in output]


def test_a_bound_patient_is_withheld(capsys: pytest.CaptureFixture[str]) -> None:
    configure()

    with logs.bound(patient_id=PATIENT_ID):
        structlog.get_logger().bind(patient_name=NAME).info("asked")

    (line,) = lines(capsys)
    assert (line["patient_id"], line["patient_name"]) == ("<withheld>", "<withheld>")


def test_a_sentence_instead_of_an_event_name_is_withheld(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure()

    structlog.get_logger().info(f"stored {NAME} {PATIENT_ID}")
    structlog.get_logger().info("stored %s", PATIENT_ID)

    output = capsys.readouterr().err
    assert output.count("withheld") == 2
    assert not [word for word in LOUD if word in output]


def test_counts_of_patients_are_not_withheld(capsys: pytest.CaptureFixture[str]) -> None:
    configure()

    structlog.get_logger().info("counted", patients=3, number_of_patients=4, header_bytes=5)

    (line,) = lines(capsys)
    assert (line["patients"], line["number_of_patients"], line["header_bytes"]) == (3, 4, 5)


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "terminal"])
def test_an_exception_shows_where_but_not_whom(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    configure(as_json=as_json)

    try:
        try:
            fail_with_patient()
        except ValueError as exc:
            raise KeyError(PATIENT_ID) from exc
    except KeyError:
        structlog.get_logger().exception("instance_failed", size_bytes=7)

    output = capsys.readouterr().err
    assert "KeyError" in output
    assert "ValueError" in output
    assert "fail_with_patient" in output
    assert not [word for word in LOUD if word in output]


def test_an_exception_group_shows_its_members_but_not_whom(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure()

    try:
        raise ExceptionGroup(NAME, [ValueError(PATIENT_ID), OSError(28, NAME, f"export/{NAME}")])
    except ExceptionGroup:
        structlog.get_logger().exception("several_failed")

    (line,) = lines(capsys)
    assert [link["type"] for link in line["exception"]] == [
        "ExceptionGroup",
        "ValueError",
        "OSError",
    ]
    assert line["exception"][2]["text"] == "ENOSPC"
    assert not [word for word in LOUD if word in json.dumps(line)]


def test_an_error_of_ours_keeps_its_sentence_and_facts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure()

    try:
        raise InvalidInstance("missing attribute", keyword="StudyInstanceUID")
    except InvalidInstance:
        structlog.get_logger().exception("instance_refused")

    (line,) = lines(capsys)
    assert line["exception"][0]["text"] == "missing attribute (keyword=StudyInstanceUID)"


@pytest.mark.parametrize(
    "name", ["pynetdicom", "pynetdicom.events", "pynetdicom.acse", "pydicom", "nats", "asyncio"]
)
def test_a_dependency_is_silent_below_warning_and_quotes_nobody_above(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    configure()
    dependency = logging.getLogger(name)

    dependency.debug("%s", dataset())
    dependency.info(f"received {NAME}")
    dependency.warning(f"received {NAME}")
    dependency.error("received %s", PATIENT_ID)
    try:
        fail_with_patient()
    except ValueError:
        dependency.exception("failed for %s", NAME)

    output = capsys.readouterr().err
    written = [json.loads(line) for line in output.splitlines()]
    assert [line["level"] for line in written] == ["warning", "error", "error"]
    assert {line["logger"] for line in written} == {name}
    assert not [word for word in LOUD if word in output]


def test_the_template_of_a_dependency_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    configure()

    logging.getLogger("nats.aio").warning("reconnected to %s", "server")

    (line,) = lines(capsys)
    assert (line["event"], line["text"]) == ("dependency_reported", "reconnected to %s")
    assert line["where"].startswith("test_logs:")


def test_a_python_warning_quotes_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure()
        warnings.warn(f"Invalid value for VR PN: {NAME}", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)

    output = capsys.readouterr().err
    assert json.loads(output)["logger"] == "py.warnings"
    assert not [word for word in LOUD if word in output]


def test_a_handler_that_prints_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    printing = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(printing)

    configure()
    logging.getLogger("minio").error("for %s", NAME)

    assert printing not in logging.getLogger().handlers
    assert "Canary" not in capsys.readouterr().err


def test_lines_of_many_threads_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    log = structlog.get_logger()

    def write() -> None:
        for n in range(50):
            log.info("counted", number=n, filler="x" * 200)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(lines(capsys)) == 200


@pytest.mark.parametrize(
    ("failing", "expected"),
    [
        (f"raise ValueError({NAME!r})", "uncaught_exception"),
        (
            "import threading\n"
            f"def fail(): raise ValueError({PATIENT_ID!r})\n"
            "t = threading.Thread(target=fail); t.start(); t.join()",
            "uncaught_exception_in_thread",
        ),
        (
            "import asyncio, gc\n"
            f"async def fail(): raise ValueError({PATIENT_ID!r})\n"
            "async def main():\n"
            "    task = asyncio.ensure_future(fail()); await asyncio.sleep(0)\n"
            "    del task; gc.collect()\n"
            "asyncio.run(main())",
            "dependency_reported",
        ),
        (
            f"class Failing:\n    def __del__(self): raise ValueError({NAME!r})\nFailing()",
            "uncaught_exception_in_cleanup",
        ),
    ],
    ids=["main", "thread", "task", "cleanup"],
)
def test_what_nobody_caught_quotes_nobody(failing: str, expected: str) -> None:
    program = textwrap.dedent(
        """
        from dicomio import logs
        logs.configure("store-scp", json=True)
        """
    )

    done = subprocess.run(
        [sys.executable, "-c", program + failing],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout == ""
    line = json.loads(done.stderr)
    assert line["event"] == expected
    assert line["exception"][0]["type"] == "ValueError"
    assert not [word for word in LOUD if word in done.stderr]
