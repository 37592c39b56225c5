# syntax=docker/dockerfile:1
# One recipe, three images:
#   docker build --build-arg SERVICE=store-scp  -t dicomtools/store-scp .
#   docker build --build-arg SERVICE=indexer    -t dicomtools/indexer .
#   docker build --build-arg SERVICE=qr-gateway -t dicomtools/qr-gateway .
# In production give the base image by digest: --build-arg PYTHON_IMAGE=python@sha256:…

ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS wheels
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# Every wheel is checked against the lock's hashes here; from here on nothing comes from the network.
# The lock is one for everything, so this stage also fetches what only tests need. It is built once
# for all three images, and none of them contains it.
COPY requirements.lock ./
RUN pip download --quiet --no-deps --only-binary :all: --require-hashes \
        --requirement requirements.lock --dest /wheels
COPY pyproject.toml README.md LICENSE ./
COPY libs libs
COPY services services
COPY cli cli
RUN python -m venv /tools \
    && /tools/bin/pip install --quiet --no-index --find-links /wheels hatchling editables \
    && /tools/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /wheels .

FROM ${PYTHON_IMAGE} AS install
ARG SERVICE
RUN test -n "${SERVICE}" || { echo "give --build-arg SERVICE=store-scp|indexer|qr-gateway" >&2; exit 1; }
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    python -m venv /opt/dicomtools \
    && /opt/dicomtools/bin/pip install --quiet --disable-pip-version-check --no-cache-dir \
        --no-index --find-links /wheels "dicomtools[${SERVICE}]" \
    && ln -s "/opt/dicomtools/bin/${SERVICE}" /opt/dicomtools/bin/service \
    && test -x /opt/dicomtools/bin/service

FROM ${PYTHON_IMAGE}
ARG SERVICE
LABEL org.opencontainers.image.title="dicomtools ${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0"
# A number, not a name: Kubernetes can then check runAsNonRoot.
RUN groupadd --system --gid 10001 dicomtools \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin dicomtools
COPY --from=install /opt/dicomtools /opt/dicomtools
ENV PATH=/opt/dicomtools/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
# The services take SIGTERM as "finish what you have begun, then stop".
STOPSIGNAL SIGTERM
ENTRYPOINT ["service"]
