"""What the gateway is told: its environment, and the peers it knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from dicomcore.errors import InvalidRequest, NotFound
from dicomio.pacs import ClientTls
from dicomio.peers import Peers, PeerSettings, parse_peers, read_peers
from qr_gateway.settings import Settings

ARIA = {"ae_title": "ARIA", "host": "pacs.example", "port": 104}
TOKEN_SHA256 = "0" * 64


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"QR_GATEWAY_{name.upper()}", raising=False)


def test_a_peer_has_defaults_that_spare_it() -> None:
    peers = Peers(parse_peers(json.dumps({"ARIA": ARIA})), move_destination="STORE-SCP")

    address = peers["ARIA"].address("ARIA")
    assert (address.ae_title, address.host, address.port) == ("ARIA", "pacs.example", 104)
    assert address.tls is None
    assert peers["ARIA"].limits.uid_list_limit == 64
    assert peers["ARIA"].move_destination == "STORE-SCP"


def test_a_peer_names_its_own_destination_tls_and_quirks() -> None:
    peer = {
        **ARIA,
        "move_destination": "OTHER-SCP",
        "calling_ae_title": "RESEARCH",
        "tls": {"ca_file": "ca.pem", "cert_file": "own.pem", "key_file": "own.key"},
        "idle_timeout_s": 300,
        "limits": {"uid_list_limit": 10, "study_level": False},
    }
    peers = Peers(parse_peers(json.dumps({"ARIA": peer})), move_destination="STORE-SCP")

    address = peers["ARIA"].address("ARIA")
    assert peers["ARIA"].move_destination == "OTHER-SCP"
    assert address.calling_ae_title == "RESEARCH"
    assert address.idle_timeout_s == 300
    assert address.tls == ClientTls(
        Path("ca.pem"), Path("own.pem"), Path("own.key"), insecure=False
    )
    assert peers["ARIA"].limits.uid_list_limit == 10
    assert not peers["ARIA"].limits.study_level


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("peers.json", json.dumps({"peers": {"ARIA": ARIA}})),
        ("peers.json", "\ufeff" + json.dumps({"peers": {"ARIA": ARIA}})),
        ("peers.toml", '[peers.ARIA]\nae_title = "ARIA"\nhost = "pacs.example"\nport = 104\n'),
    ],
    ids=["json", "json with a byte order mark", "toml"],
)
def test_peers_come_from_a_file(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, "utf-8")

    assert read_peers(path) == {"ARIA": PeerSettings.model_validate(ARIA)}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"port": 0}, "peers.ARIA.port"),
        ({"port": "CANARY"}, "peers.ARIA.port"),
        ({"ae_title": ""}, "peers.ARIA.ae_title"),
        ({"ae_title": "SEVENTEEN_LETTERS"}, "peers.ARIA.ae_title"),
        ({"ae_title": "BACK\\SLASH"}, "peers.ARIA.ae_title"),
        ({"ae_title": " PADDED"}, "peers.ARIA.ae_title"),
        ({"password": "CANARY"}, "peers.ARIA.password"),
        ({"limits": {"uid_list_limit": 0}}, "peers.ARIA.limits.uid_list_limit"),
    ],
)
def test_a_peer_that_cannot_be_understood_is_refused_by_its_place(
    change: dict[str, object], where: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_peers(json.dumps({"ARIA": {**ARIA, **change}}))

    assert where in str(caught.value.facts["where"])
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "A B", "../A", "Ä", "-A", "A" * 65])
def test_a_name_that_does_not_fit_an_address_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="name of a peer"):
        Peers({name: PeerSettings.model_validate(ARIA)})


def test_an_unknown_peer_is_not_found() -> None:
    with pytest.raises(NotFound):
        Peers({})["ARIA"]


@pytest.mark.parametrize("text", [None, "[1, 2", "{}x", "[peers"])
def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "peers.json"
    if text is not None:
        path.write_text(text)

    with pytest.raises(InvalidRequest, match="file of peers"):
        read_peers(path)


def test_the_environment_adds_to_the_file_and_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "peers.json"
    path.write_text(json.dumps({"peers": {"ARIA": ARIA, "OLD": ARIA}}))
    monkeypatch.setenv("QR_GATEWAY_PEERS_FILE", str(path))
    monkeypatch.setenv("QR_GATEWAY_PEERS", json.dumps({"ARIA": {**ARIA, "port": 4242}}))
    monkeypatch.setenv("QR_GATEWAY_MOVE_DESTINATION", "STORE-SCP")

    peers = Settings().known_peers()

    assert list(peers) == ["ARIA", "OLD"]
    assert peers["ARIA"].port == 4242
    assert peers["OLD"].move_destination == "STORE-SCP"


def test_empty_variables_are_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_TOKEN_SHA256", "PEERS_FILE", "PEERS", "MOVE_DESTINATION"):
        monkeypatch.setenv(f"QR_GATEWAY_{name}", "")

    settings = Settings()

    assert not settings.access().authenticated
    assert list(settings.known_peers()) == []


def test_a_token_that_is_no_digest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QR_GATEWAY_HTTP_TOKEN_SHA256", "secret")

    with pytest.raises(InvalidRequest):
        Settings().access()


def test_the_token_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QR_GATEWAY_HTTP_TOKEN_SHA256", TOKEN_SHA256)

    assert Settings().access().authenticated
    assert TOKEN_SHA256 not in repr(Settings().access())


@pytest.mark.parametrize(
    ("name", "value"), [("JOBS", "0"), ("HTTP_PORT", "70000"), ("MOVE_DESTINATION", "A\\B")]
)
def test_what_does_not_fit_stops_the_start(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"QR_GATEWAY_{name}", value)

    with pytest.raises(ValidationError):
        Settings()


def test_the_worker_is_told_its_name_and_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"REPLICA": "a", "JOBS": "3", "LEASE_S": "5", "KEEP_DAYS": "2"}.items():
        monkeypatch.setenv(f"QR_GATEWAY_{name}", value)

    options = Settings().worker()

    assert (options.owner, options.jobs, options.pace.lease_s) == ("a", 3, 5.0)
    assert options.keep_s == 2 * 86400
