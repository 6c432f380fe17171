# One image for every process of Relais; the command says which. Without one it runs all of them with a Valkey of its own:
#   docker run -p 8080:8080 -v relais:/data -v ./book:/book:ro --env-file .env relais
# Pin the base by digest in a registry of your own where you need the same image twice.
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# The dependencies first: they change seldom, and every file of them has its hash.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/relais \
 && /opt/relais/bin/pip install --only-binary=:all: --require-hashes -r requirements.lock \
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

FROM python:${PYTHON}
# The number is fixed, so that a volume or a book on the host can be given to it.
RUN groupadd --system --gid 10001 relais \
 && useradd --system --uid 10001 --gid relais --home-dir /data --no-create-home --shell /usr/sbin/nologin relais \
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
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=3)"]
CMD ["relais", "up", "--host", "0.0.0.0"]
