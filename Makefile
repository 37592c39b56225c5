# Each target is one command that can be read without make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
K8S    := .k8s-check

.PHONY: screenshots help install lock demo test check fmt bench up secrets sbom k8s-check compose-test clean

help:            ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

install: $(VENV)/.installed  ## make .venv from the lock file

demo: install    ## one plan out of a made-up PACS, with everything it references
	$(BIN)/dicomtools demo

test: install    ## every test; real servers come as wheels, Orthanc and DCMTK are used where installed
	@$(MAKE) --silent $(K8S)/.installed || echo "The Kubernetes manifests are not checked: their tools cannot be installed here."
	$(BIN)/python -m pytest

check: install   ## lint, types, import borders
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: install     ## format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# On a machine that does nothing else; each prints the load it found. Peers: orthanc, dcmtk, libgdcm-tools.
BENCHES := selective_retrieval send folder_search anonymise ingest plan_search index_scale
bench: install   ## the README's figures, each as a ratio against a peer in the same run
	@for bench in $(BENCHES); do echo "== bench/$$bench.py"; $(BIN)/python bench/$$bench.py || exit 1; done

up: install      ## the three services in one process, on this machine only
	$(BIN)/dicomtools up

screenshots: install  ## every view of the web page, light and dark, wide and narrow, into ./screenshots (needs chromium)
	$(BIN)/python -m tests.browser.screenshots screenshots

secrets:         ## random passwords for compose.yaml and k8s, into ./secrets; existing ones are kept
	@sh deploy/make-secrets.sh secrets

sbom: install    ## build/sbom: what is in each image (CycloneDX), and what of it is known to be vulnerable
	@$(BIN)/python deploy/supply_chain.py build/sbom

# What looks at the manifests, apart from the project's own environment. kubectl renders them, or
# kustomize; where there is neither, and there is Go, kustomize is built.
$(K8S)/.installed: deploy/k8s-tools.lock
	$(PYTHON) -m venv $(K8S)
	$(K8S)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r deploy/k8s-tools.lock
	@command -v kubectl >/dev/null || command -v kustomize >/dev/null || \
	  GOBIN=$(CURDIR)/$(K8S)/go/bin go install sigs.k8s.io/kustomize/kustomize/v5@v5.8.1
	@touch $@

k8s-check: install $(K8S)/.installed  ## the Kubernetes manifests: rendered, validated, checked
	$(BIN)/python -m pytest tests/kubernetes

# As root, with Debian's docker.io and debootstrap, and Go; takes minutes. The engine's data and the images
# stay in .compose-test, so that the next run has them; COMPOSE_TEST_IMAGES=registry pulls the official ones.
compose-test: install  ## the images and compose.yaml in a Docker engine, with everything killed once
	DICOMTOOLS_COMPOSE_TEST=.compose-test $(BIN)/python -m pytest -s tests/compose

lock:            ## make requirements.lock anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev --no-header --no-annotate --quiet pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet deploy/k8s-tools.in -o deploy/k8s-tools.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet deploy/audit-tools.in -o deploy/audit-tools.lock

clean:           ## remove what the targets made
	rm -rf $(VENV) $(K8S) .compose-test .browser-tools .demo demo-export screenshots build/sbom
