# One recipe, three images, and one for the command line:
#   docker build --build-arg SERVICE=store-scp  -t dicomtools/store-scp .
#   docker build --build-arg SERVICE=indexer    -t dicomtools/indexer .
#   docker build --build-arg SERVICE=qr-gateway -t dicomtools/qr-gateway .
#   docker build --build-arg SERVICE=cli        -t dicomtools/cli .
#
# In production pin the base image: --build-arg PYTHON_DIGEST=@sha256:…
# Behind a mirror or an inspecting proxy give pip's configuration and the CA bundle as build secrets;
# neither reaches a layer: --secret id=pip_conf,src=pip.conf --secret id=ca_bundle,src=ca.crt
#
# It needs BuildKit, and nothing of it that came after Docker 20.10: no frontend is fetched.

ARG PYTHON_IMAGE=python:3.13-slim-trixie
ARG PYTHON_DIGEST=

FROM ${PYTHON_IMAGE}${PYTHON_DIGEST} AS wheel
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /tools
COPY deploy/locked.py requirements.lock ./
# What builds our wheel is in the lock as well: nothing is installed that no hash was compared with.
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_bundle,target=/etc/ssl/certs/ca-certificates.crt \
    python locked.py requirements.lock /tools/bin/pip hatchling > tools.lock \
    && /tools/bin/pip install --quiet --no-deps --only-binary :all: --require-hashes -r tools.lock
COPY pyproject.toml README.md LICENSE ./
COPY libs libs
COPY services services
COPY cli cli
RUN /tools/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /wheel .

FROM wheel AS install
ARG SERVICE
RUN case "${SERVICE}" in store-scp|indexer|qr-gateway|cli) ;; \
        *) echo "give --build-arg SERVICE=store-scp|indexer|qr-gateway|cli" >&2; exit 1 ;; esac
# Of the lock only what this service's extra needs. Without pip in it: nothing is installed later.
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca_bundle,target=/etc/ssl/certs/ca-certificates.crt \
    python -m venv --without-pip /opt/dicomtools \
    && python locked.py requirements.lock /tools/bin/pip \
        "dicomtools[${SERVICE}] @ file://$(echo /wheel/*.whl)" > service.lock \
    && /tools/bin/pip --python /opt/dicomtools/bin/python install --quiet --no-deps --no-compile \
        --only-binary :all: --require-hashes -r service.lock \
    && /tools/bin/pip --python /opt/dicomtools/bin/python install --quiet --no-deps --no-compile \
        --no-index /wheel/*.whl \
    && case "${SERVICE}" in cli) program=dicomtools ;; *) program="${SERVICE}" ;; esac \
    && test -x "/opt/dicomtools/bin/${program}" \
    && ln -s "${program}" /opt/dicomtools/bin/service
# Tests, headers and debug information of other people's packages are a quarter of them.
COPY deploy/slim.py ./
RUN python slim.py /opt/dicomtools/lib
# Compiled here, once, because the root file system will be read-only. Of what an image holds this alone is
# not the same bytes each time: marshal marks what is referenced more than once, by chance.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/dicomtools/lib
COPY deploy/healthcheck.py /opt/dicomtools/healthcheck.py

FROM ${PYTHON_IMAGE}${PYTHON_DIGEST}
ARG SERVICE
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="dicomtools ${SERVICE}" \
      org.opencontainers.image.description="One radiotherapy plan, and exactly what it references: ${SERVICE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.vendor="DicomTools" \
      org.opencontainers.image.licenses="Apache-2.0"
# The base image's own pip is of no use to anybody here but an intruder.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip
# A number, not a name: Kubernetes can then check runAsNonRoot.
RUN groupadd --system --gid 10001 dicomtools \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin dicomtools \
    && install --directory --owner=10001 --group=10001 --mode=700 /spool
COPY --from=install /opt/dicomtools /opt/dicomtools
# Ports that need no privilege, the same in each image; still on loopback until a setting says otherwise.
# Without a limit glibc keeps memory for each thread there ever was, and each association is one.
ENV PATH=/opt/dicomtools/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=2 \
    SERVICE=${SERVICE} \
    STORE_SCP_PORT=11112 STORE_SCP_HTTP_PORT=8080 INDEXER_HTTP_PORT=8080 QR_GATEWAY_HTTP_PORT=8080
EXPOSE 8080 11112
USER 10001:10001
# Nothing is written but here; with --read-only mount a tmpfs.
WORKDIR /tmp
# The services take SIGTERM as "finish what you have begun, then stop".
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "/opt/dicomtools/healthcheck.py"]
ENTRYPOINT ["service"]
