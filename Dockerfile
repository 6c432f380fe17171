# One image for every process of Relais; the command says which. Without one it runs all of them with a Valkey of its own:
#   docker run --name relais -p 127.0.0.1:8080:8080 -v relais:/data -v ./book:/book:ro --env-file .env --stop-timeout 90 \
#     --health-cmd 'python -m console.checks.alive receive work' relais
# It has no HEALTHCHECK, because each process wants another one: `docker-compose.yml` has them all, of `relais work`
# `python -m console.checks.alive work`. `make image` builds and tries it where there is no registry (deploy/image.sh).
# Where the same image is needed twice, pin the base: --build-arg PYTHON_IMAGE=python:3.13-slim-bookworm@sha256:…
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# The dependencies first: they change seldom, and every file of them has its hash.
ARG LOCK=requirements.lock
COPY requirements.lock requirements-oidc.lock requirements-otel.lock requirements-build.lock ./
RUN python -m venv /opt/relais \
 && /opt/relais/bin/pip install --only-binary=:all: --require-hashes -r ${LOCK} \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --only-binary=:all: --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY rules rules
COPY mailroom mailroom
COPY workers workers
COPY receiver receiver
COPY console console
COPY sandbox sandbox
COPY tests/fixtures tests/fixtures
RUN /opt/build/bin/hatchling build -t wheel -d /dist \
 && /opt/relais/bin/pip install --no-deps --no-index /dist/*.whl

FROM ${PYTHON_IMAGE}
ARG REVISION=
LABEL org.opencontainers.image.title="Relais" \
      org.opencontainers.image.description="A self-hosted webhook receiver and event router" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
# The number is fixed, so that a volume or a book on the host can be given to it.
RUN groupadd --gid 10001 relais \
 && useradd --uid 10001 --gid relais --home-dir /data --no-create-home --shell /usr/sbin/nologin relais \
 && install -d -o relais -g relais -m 0700 /data /spool /notebook
COPY --from=build /opt/relais /opt/relais
ENV PATH=/opt/relais/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RELAIS_BOOK=/book \
    RELAIS_DATA=/data
WORKDIR /data
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
CMD ["relais", "up", "--host", "0.0.0.0"]
