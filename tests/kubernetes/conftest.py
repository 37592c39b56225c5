"""Each overlay, rendered once."""

from __future__ import annotations

import pytest

from tests.kubernetes.manifests import OVERLAYS, ROOT, Rendered, kustomize, render


@pytest.fixture(scope="session", params=OVERLAYS)
def text(request: pytest.FixtureRequest) -> str:
    """What `kubectl kustomize` of the overlay prints."""
    if kustomize() is None:
        pytest.skip("neither kustomize nor kubectl: make k8s-check installs it")
    return render(ROOT / "k8s" / "overlays" / request.param)


@pytest.fixture(scope="session")
def rendered(text: str) -> Rendered:
    return Rendered.of(text)


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`prod` with every component, also those that not every cluster can have."""
    if kustomize() is None:
        pytest.skip("neither kustomize nor kubectl: make k8s-check installs it")
    # kustomize takes no absolute path, and resolves links
    folder = tmp_path_factory.mktemp("everything").resolve()
    up = "/".join([".."] * (len(folder.parts) - 1))
    k8s = f"{up}{ROOT.resolve() / 'k8s'}"
    # prod has the Ingress itself
    found = sorted(path.name for path in (ROOT / "k8s" / "components").iterdir())
    components = [name for name in found if name != "ingress"]
    (folder / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"resources: [{k8s}/overlays/prod]\n"
        f"components: [{', '.join(f'{k8s}/components/{name}' for name in components)}]\n"
    )
    return render(folder)
