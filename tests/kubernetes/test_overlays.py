"""What the schemas cannot say: every name that a manifest uses is there, and the promises hold."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kubernetes.manifests import (
    Manifest,
    Rendered,
    environment_of,
    known_variables,
    labels_of,
    matches,
    mounted_files,
    peers_of,
    pod_of,
    ports_of,
)

TRIO = ("store-scp", "indexer", "qr-gateway")
ABORT_TIMEOUT_S = 10


def test_no_secret_is_in_the_manifests_and_every_pod_that_needs_one_mounts_it(
    rendered: Rendered,
) -> None:
    assert rendered.kind("Secret") == []
    for name in TRIO:
        pod = pod_of(rendered.one("Deployment", name))
        (secret,) = (v["secret"] for v in pod["volumes"] if "secret" in v)
        assert secret["secretName"] == "dicomtools"
        assert "optional" not in secret


def test_every_pod_meets_the_restricted_profile(rendered: Rendered) -> None:
    for workload in rendered.workloads():
        pod = pod_of(workload)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert all({"hostPath"}.isdisjoint(volume) for volume in pod.get("volumes", ()))
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
    (namespace,) = rendered.kind("Namespace")
    enforced = namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert enforced == "restricted"


def test_every_service_leads_to_a_port_of_a_pod(rendered: Rendered) -> None:
    for service in rendered.kind("Service"):
        (workload,) = rendered.selected({"matchLabels": service["spec"]["selector"]})
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports_of(workload), service["metadata"]["name"]


def test_every_ingress_leads_to_a_port_of_a_service(rendered: Rendered) -> None:
    for ingress in rendered.kind("Ingress"):
        named = {host for one in ingress["spec"]["tls"] for host in one["hosts"]}
        for rule in ingress["spec"]["rules"]:
            assert rule["host"] in named
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = rendered.one("Service", backend["name"])
                ports = {port["name"] for port in service["spec"]["ports"]}
                assert backend["port"]["name"] in ports


def test_every_network_policy_speaks_of_pods_and_ports_that_exist(rendered: Rendered) -> None:
    for policy in rendered.kind("NetworkPolicy"):
        here = rendered.selected(policy["spec"]["podSelector"])
        assert here, policy["metadata"]["name"]
        for direction, peer, ports in peers_of(policy):
            inside = "podSelector" in peer and "namespaceSelector" not in peer
            there = rendered.selected(peer["podSelector"]) if inside else []
            assert there or not inside, policy["metadata"]["name"]
            for port in ports:
                targets = here if direction == "ingress" else there
                if isinstance(port["port"], str):
                    assert targets, "a name of a port outside the cluster means nothing"
                    assert all(port["port"] in ports_of(target) for target in targets)


def test_everything_is_denied_that_no_policy_allows(rendered: Rendered) -> None:
    deny = rendered.one("NetworkPolicy", "nothing-in-or-out")["spec"]

    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize(
    ("source", "target", "port", "allowed"),
    [
        ("store-scp", "nats", "nats", True),
        ("store-scp", "s3", "s3", True),
        ("store-scp", "postgres", "postgres", False),
        ("qr-gateway", "postgres", "postgres", False),
        ("indexer", "postgres", "postgres", True),
        ("indexer", "store-scp", "http", False),
        ("qr-gateway", "indexer", "http", True),
        ("indexer", "qr-gateway", "http", False),
        ("qr-gateway", "store-scp", "dicom", True),
        ("qr-gateway", "store-scp", "http", False),
        ("store-scp", "indexer", "http", False),
        ("nats", "s3", "s3", False),
        ("postgres", "s3", "s3", False),
        ("demo-pacs", "store-scp", "dicom", True),
        ("demo-pacs", "s3", "s3", False),
        ("demo-pacs", "nats", "nats", False),
        ("qr-gateway", "demo-pacs", "dicom", True),
    ],
)
def test_pods_reach_what_they_need_and_nothing_else(
    rendered: Rendered, source: str, target: str, port: str, allowed: bool
) -> None:
    workloads = {one["metadata"]["name"]: one for one in rendered.workloads()}
    if not {source, target} <= set(workloads):
        assert "demo-pacs" not in workloads  # prod: outside the cluster
        return

    out = _allows(rendered, "egress", workloads[source], workloads[target], port)
    into = _allows(rendered, "ingress", workloads[target], workloads[source], port)

    assert (out and into) is allowed


def test_autoscalers_and_budgets_are_of_deployments_that_leave_the_number_to_them(
    rendered: Rendered,
) -> None:
    scaled = {
        one["spec"]["scaleTargetRef"]["name"] for one in rendered.kind("HorizontalPodAutoscaler")
    }
    for deployment in rendered.kind("Deployment"):
        assert ("replicas" in deployment["spec"]) is (deployment["metadata"]["name"] not in scaled)
    for budget in rendered.kind("PodDisruptionBudget"):
        assert len(rendered.selected(budget["spec"]["selector"])) == 1
        assert budget["spec"]["maxUnavailable"] == 1
    budgets = {one["metadata"]["name"] for one in rendered.kind("PodDisruptionBudget")}
    assert budgets >= set(TRIO)
    assert scaled in (set(), set(TRIO))


def test_production_has_two_of_each_spread_over_nodes_and_zones(rendered: Rendered) -> None:
    for name in TRIO:
        pod = pod_of(rendered.one("Deployment", name))
        keys = {one["topologyKey"] for one in pod["topologySpreadConstraints"]}
        assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    for scaler in rendered.kind("HorizontalPodAutoscaler"):
        assert scaler["spec"]["minReplicas"] >= 2


@pytest.mark.parametrize(
    ("name", "setting", "default_s"),
    [
        ("store-scp", "STORE_SCP_GRACE_S", 30.0),
        ("indexer", "INDEXER_STOP_TIMEOUT_S", 20.0),
        ("qr-gateway", "", 30.0),
    ],
)
def test_a_pod_gets_longer_to_stop_than_its_service_takes(
    rendered: Rendered, name: str, setting: str, default_s: float
) -> None:
    deployment = rendered.one("Deployment", name)
    pod = pod_of(deployment)
    (container,) = pod["containers"]
    leaving_s = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    finishing_s = float(environment_of(deployment).get(setting, default_s))

    assert leaving_s >= 5
    assert pod["terminationGracePeriodSeconds"] >= leaving_s + finishing_s + ABORT_TIMEOUT_S
    # and the new one is ready before the old one is told
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_dicom_keeps_the_senders_address_and_is_all_that_is_published(rendered: Rendered) -> None:
    published = [
        s for s in rendered.kind("Service") if s["spec"].get("type", "ClusterIP") != "ClusterIP"
    ]

    assert [service["metadata"]["name"] for service in published] == ["store-scp"]
    assert published[0]["spec"]["externalTrafficPolicy"] == "Local"
    assert [port["name"] for port in published[0]["spec"]["ports"]] == ["dicom"]


def test_every_file_that_a_variable_names_is_mounted_read_only_with_every_component_too(
    rendered: Rendered, everything: str
) -> None:
    for manifests in (rendered, Rendered.of(everything)):
        common = manifests.one("ConfigMap", "common")["data"]
        for name in TRIO:
            deployment = manifests.one("Deployment", name)
            files = mounted_files(deployment)
            named = {
                value
                for variable, value in (common | environment_of(deployment)).items()
                if variable.endswith(("_FILE", "_CERTIFICATE")) and value
            }
            assert f"{common['SECRETS_DIR']}/audit_key" in files
            assert named <= files, name


def test_with_every_component_connections_are_verified_and_callers_known(everything: str) -> None:
    rendered = Rendered.of(everything)
    common = rendered.one("ConfigMap", "common")["data"]
    environments = {name: environment_of(rendered.one("Deployment", name)) for name in TRIO}

    assert common["S3_SECURE"] == "true"
    assert all(server.startswith("tls://") for server in common["NATS_SERVERS"].split(","))
    assert common["S3_CA_FILE"] == common["NATS_CA_FILE"]
    # credentials in place of a password: the name of a user would be sent as well
    assert (common["NATS_USER"], bool(common["NATS_CREDENTIALS_FILE"])) == ("", True)
    assert "STORE_SCP_CLIENT_CA_FILE" in environments["store-scp"]
    known = known_variables()
    for name, environment in environments.items():
        assert set(environment) | set(common) <= known, name
    for name in ("INDEXER", "QR_GATEWAY"):
        environment = environments[name.lower().replace("_", "-")]
        issuer = environment[f"{name}_HTTP_OIDC_ISSUER"]
        assert issuer == environments["indexer"]["INDEXER_HTTP_OIDC_ISSUER"]


def test_with_every_component_metrics_are_asked_with_a_token_from_where_monitoring_is(
    everything: str,
) -> None:
    rendered = Rendered.of(everything)
    (monitor,) = rendered.kind("ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]

    watched = [
        service["spec"]["selector"]["app"]
        for service in rendered.kind("Service")
        if matches(monitor["spec"]["selector"], service["metadata"]["labels"])
        and endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    ]

    assert sorted(watched) == sorted(TRIO)
    assert endpoint["authorization"]["credentials"] == {
        "name": "dicomtools",
        "key": "monitor_token",
    }
    policy = rendered.one("NetworkPolicy", "monitoring-to-metrics")
    assert {
        labels_of(one)["app"] for one in rendered.selected(policy["spec"]["podSelector"])
    } == set(TRIO)


def _allows(rendered: Rendered, direction: str, here: Manifest, there: Manifest, port: str) -> bool:
    """Whether a policy of one pod lets a connection to, or from, another one pass."""
    target = here if direction == "ingress" else there
    numbers: tuple[Any, ...] = (port, ports_of(target)[port])
    for policy in rendered.kind("NetworkPolicy"):
        if here not in rendered.selected(policy["spec"]["podSelector"]):
            continue
        for found, peer, ports in peers_of(policy):
            meant = found == direction and _means(rendered, peer, there)
            if meant and any(_within(one, numbers) for one in ports):
                return True
    return False


def _means(rendered: Rendered, peer: Manifest, workload: Manifest) -> bool:
    if "ipBlock" in peer:
        return peer["ipBlock"]["cidr"] == "0.0.0.0/0"
    return "namespaceSelector" not in peer and workload in rendered.selected(peer["podSelector"])


def _within(port: Manifest, numbers: tuple[Any, ...]) -> bool:
    if "endPort" in port:
        return any(isinstance(n, int) and port["port"] <= n <= port["endPort"] for n in numbers)
    return port["port"] in numbers
