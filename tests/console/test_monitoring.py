"""What is shipped for Prometheus and Grafana: right by its own tools, answered by a real Prometheus that scrapes us."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from console.api import metrics
from console.processes import port
from mailroom import Mailroom
from tests.conftest import PrivateValkey, wait_until
from tests.console.api.console_process import event
from tests.console.conftest import Start

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
ALERTS = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
PANELS = json.loads((FOLDER / "grafana.json").read_text())["panels"]
QUERIES = [target["expr"].replace("$__rate_interval", "1m") for panel in PANELS for target in panel["targets"]]
EXPRESSIONS = [*QUERIES, *(rule["expr"] for rule in ALERTS)]


@pytest.fixture
def tool() -> str:
    """`promtool`, which comes with Prometheus."""
    if (found := shutil.which("promtool")) and shutil.which("prometheus"):
        return found
    if os.environ.get("CI") == "true":
        pytest.fail("Prometheus is not there: apt-get install prometheus")
    pytest.skip("needs Prometheus: apt-get install prometheus")


def test_metrics_exist() -> None:
    """Alerts and panels ask for metrics of the catalogue, under the names that Prometheus stores."""
    ends = {"counter": "_total", "histogram": "_bucket", "gauge": ""}
    known = {one.name + ends[one.kind] for one in metrics.CATALOGUE}
    asked = {name for text in EXPRESSIONS for name in re.findall(r"relais_\w+", text)}
    assert len(asked) > 15
    assert asked <= known


def test_each_alert_says_more() -> None:
    """Each alert names who is woken, what is wrong and a command."""
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("page", "look")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["command"].startswith("relais ")


@pytest.mark.parametrize("words", ["check config prometheus.yml", "test rules alerts.test.yml"])
def test_own_tools(tool: str, words: str) -> None:
    """Prometheus' own tool finds nothing wrong, and every alert's test passes."""
    done = subprocess.run([tool, *words.split()], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    """No alert is without a test in which it fires."""
    text = (FOLDER / "alerts.test.yml").read_text()
    assert [rule["alert"] for rule in ALERTS if rule["alert"] not in text] == []


@pytest.fixture
def prometheus(tool: str, start: Start, valkey: PrivateValkey, tmp_path: Path) -> Iterator[str]:
    """A Prometheus that scrapes a console, with the alerts as they are shipped."""

    async def happen() -> None:
        async with await Mailroom.open(valkey.url) as mailroom:
            await mailroom.put([event("first"), event("second")])

    console, own = port.free("127.0.0.1"), port.free("127.0.0.1")
    start("console", "--port", str(console), REDIS_URL=valkey.url).wait_healthy(f"http://127.0.0.1:{console}")
    urllib.request.urlopen(f"http://127.0.0.1:{console}/events").close()  # it follows the log from now on
    asyncio.run(happen())
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(FOLDER / "alerts.yml")]
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{console}"]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    words = [f"--config.file={tmp_path / 'prometheus.yml'}", f"--web.listen-address=127.0.0.1:{own}"]
    with (tmp_path / "log").open("w") as log:
        words.append(f"--storage.tsdb.path={tmp_path / 'data'}")
        process = subprocess.Popen([shutil.which("prometheus") or "", *words], stderr=log, stdout=log)
        try:
            yield f"http://127.0.0.1:{own}"
        finally:
            process.terminate()
            process.wait(30)


def ask(prometheus: str, query: str) -> list[dict[str, Any]]:
    """Return what a query finds. Raises OSError while nobody answers, and for a query that is wrong."""
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own address
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def test_scraped(prometheus: str) -> None:
    """A real Prometheus scrapes a real console, understands every query, and finds what came in."""

    def scraped() -> bool:
        try:
            return ask(prometheus, "sum(relais_events_received_total)") != []
        except OSError:
            return False

    wait_until(scraped, "Prometheus has scraped the console")
    assert float(ask(prometheus, "sum(relais_events_received_total)")[0]["value"][1]) == 2
    found = {query: ask(prometheus, query) for query in EXPRESSIONS}
    assert found['sum by (room) (relais_room_boxes{state=~"ready|waiting"})'][0]["metric"] == {"room": "in"}
    slow = next(query for query in QUERIES if "relais_event_kept_seconds_bucket" in query)
    wait_until(lambda: [one["metric"] for one in ask(prometheus, slow)] == [{"source": "shop"}], "it was measured")
    assert ask(prometheus, 'relais_event_kept_seconds_count{source="shop"}')[0]["value"][1] == "2"
    [built] = ask(prometheus, "relais_build_info")
    assert built["metric"]["version"] == metadata.version("relais-router")
    assert found["relais_drains_live == 0"], "nobody works here, and that is an alert"
    wait_until(lambda: "RelaisNoWorkers" in str(ask(prometheus, "ALERTS")), "the alert is pending")
