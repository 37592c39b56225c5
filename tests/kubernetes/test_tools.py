"""The manifests before the eyes of kubernetes-validate and checkov; every check left out has its reason."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.kubernetes.manifests import tool

OLDEST = "1.29"
"""The oldest Kubernetes that the manifests are for: `endPort`, `matchLabelKeys`, terminating endpoints."""

EVERYWHERE = {
    "CKV_K8S_11": "CPU limits throttle: an association would be stretched into its time-outs. Requests "
    "share the processor fairly, and the HorizontalPodAutoscaler adds pods.",
}
FOR_TRYING = {
    "CKV_K8S_43": "dev runs images that were built a minute ago; prod has digests.",
    "CKV_K8S_15": "dev runs images that are in no registry, and may not be pulled.",
    "CKV_K8S_40": "PostgreSQL's official Alpine image has user 70; prod has no database in the cluster.",
}


@pytest.mark.parametrize("version", [OLDEST, None])
def test_every_manifest_is_valid_and_has_no_member_that_kubernetes_does_not_know(
    text: str, version: str | None, tmp_path: Path
) -> None:
    program = tool("kubernetes-validate")
    if program is None:
        pytest.skip("no kubernetes-validate: make k8s-check installs it")
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(text)
    which = [] if version is None else ["-k", version]

    command = [program, "--strict", "--quiet", *which, str(rendered)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout + done.stderr == ""


@pytest.mark.timeout(300)
def test_checkov_finds_nothing_but_what_has_a_reason(
    text: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    program = tool("checkov")
    if program is None:
        pytest.skip("no checkov: make k8s-check installs it")
    allowed = EVERYWHERE | (FOR_TRYING if "demo-pacs" in text else {})
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(text)

    command = [program, "--file", str(rendered), "--framework", "kubernetes", "--output", "json"]
    done = subprocess.run(
        [*command, "--quiet", "--compact", "--skip-download"],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    failed = report["results"]["failed_checks"]

    # a reason that nothing needs any more is an error as well
    assert {one["check_id"] for one in failed} == set(allowed), [
        (one["check_id"], one["check_name"], one["resource"])
        for one in failed
        if one["check_id"] not in allowed
    ]
    assert report["summary"]["passed"] > 100
    assert report["summary"]["parsing_errors"] == 0
