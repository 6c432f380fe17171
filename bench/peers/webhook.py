"""Debian's `webhook` (adnanh/webhook): a hook with a rule, which runs a command for each request.

After its documentation: `trigger-rule` compares the token and the city, `pass-arguments-to-command` hands over the four
fields, and the command is a shell script with `curl`. The request is answered when the command was started
(`include-command-output-in-response` would let the sender wait for the destination). It has no queue and no retry, so
the script does what a careful author adds: `curl --retry 5`, which honours `Retry-After`.
"""

import json
import shutil
import subprocess

from bench.peers.peer import CACHE, CannotInstall, Peer, folder
from bench.stage import TOKEN, BenchStage

HOME = CACHE / "webhook"
PROGRAM = HOME / "usr" / "bin" / "webhook"

SCRIPT = """\
#!/bin/sh
printf '{"email":"%s","FIRSTNAME":"%s","LASTNAME":"%s","CITY":"%s"}' "$1" "$2" "$3" "$4" |
exec curl --silent --fail --retry 5 --max-time 30 --output /dev/null \\
    --header 'Content-Type: application/json' --data-binary @- "http://127.0.0.1:$SINK_PORT/contacts"
"""


class Webhook(Peer):
    name = "webhook"
    durability = "nothing is kept"
    path = "/hooks/contact"

    def install(self) -> None:
        if PROGRAM.exists():
            return
        if not all(map(shutil.which, ("apt-get", "dpkg-deb", "curl"))):
            raise CannotInstall("it comes as a Debian package and needs curl")
        HOME.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", "-qq", "webhook"], cwd=HOME, check=True, capture_output=True)
            (package,) = HOME.glob("webhook_*.deb")
            subprocess.run(["dpkg-deb", "-x", str(package), str(HOME)], check=True, capture_output=True)
        except (subprocess.CalledProcessError, ValueError) as exc:
            raise CannotInstall("apt-get does not have it; `apt-get update` may help") from exc

    def start(self, stage: BenchStage, port: int) -> None:
        home = folder(stage, "webhook")
        script = home / "deliver"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        (home / "hooks.json").write_text(json.dumps([_hook(str(script), str(home))]))
        hooks = str(home / "hooks.json")
        stage.run("webhook", [str(PROGRAM), "-hooks", hooks, "-ip", "127.0.0.1", "-port", str(port)])
        stage.wait_for_port(port)


def _hook(script: str, home: str) -> dict[str, object]:
    return {
        "id": "contact",
        "execute-command": script,
        "command-working-directory": home,
        "http-methods": ["POST"],
        "success-http-response-code": 202,
        "pass-arguments-to-command": [
            {"source": "payload", "name": name} for name in ("email", "first_name", "last_name", "city")
        ],
        "trigger-rule": {
            "and": [
                {
                    "match": {
                        "type": "value",
                        "value": TOKEN,
                        "parameter": {"source": "header", "name": "X-Relais-Token"},
                    }
                },
                {"match": {"type": "value", "value": "Berlin", "parameter": {"source": "payload", "name": "city"}}},
            ]
        },
    }
