"""Node-RED from npm: a flow of `http in`, a function that checks and maps, `http response` and `http request`.

After its cookbook: the flow answers 202 as soon as the function has judged the message, and an `http request` node with
`Keep-alive` sends. Node-RED keeps no message on disk and has no retry of its own; the flow adds the usual loop: 429,
503 and connection errors go through a `delay` node of a second back to the request. No editor, logging of errors only.
"""

import json
import shutil
import subprocess

from bench.peers.peer import CACHE, CannotInstall, Peer, folder
from bench.stage import TOKEN, BenchStage

VERSION = "4.1.15"
HOME = CACHE / "node-red"
PROGRAM = HOME / "node_modules" / "node-red" / "red.js"

SETTINGS = """\
module.exports = {
  uiHost: "127.0.0.1", httpAdminRoot: false, flowFile: "flows.json", userDir: __dirname, credentialSecret: false,
  logging: { console: { level: "error", metrics: false, audit: false } },
};
"""

JUDGE = """\
if (msg.req.headers["x-relais-token"] !== "@TOKEN@") { msg.statusCode = 401; msg.payload = ""; return [msg, null]; }
const contact = msg.payload;
const answer = { req: msg.req, res: msg.res, statusCode: 202, payload: { ok: true } };
if (contact.city !== "Berlin") { return [answer, null]; }
return [answer, {
  headers: { "content-type": "application/json" },
  payload: {
    email: contact.email.trim().toLowerCase(), FIRSTNAME: contact.first_name, LASTNAME: contact.last_name,
    CITY: contact.city,
  },
  kept: null,
}];
"""
KEEP = """msg.kept = msg.payload; return msg;"""
AGAIN = """\
if (msg.statusCode === 200) { return null; }
return { headers: { "content-type": "application/json" }, payload: msg.kept };
"""


class NodeRed(Peer):
    name = "Node-RED"
    durability = "nothing is kept"
    path = "/contact"

    def install(self) -> None:
        if PROGRAM.exists():
            return
        if not all(map(shutil.which, ("npm", "node"))):
            raise CannotInstall("it needs node and npm")
        HOME.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(HOME), "--no-audit", "--no-fund", f"node-red@{VERSION}"]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=300)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
            raise CannotInstall("npm could not fetch it") from exc

    def start(self, stage: BenchStage, port: int) -> None:
        home = folder(stage, "node-red")
        (home / "settings.js").write_text(SETTINGS)
        (home / "flows.json").write_text(json.dumps(_flow(stage.sink_port)))
        words = ("--settings", str(home / "settings.js"), "--port", str(port), "--userDir", str(home))
        stage.run("node-red", ["node", str(PROGRAM), *words])
        stage.wait_for_port(port)


def _flow(sink: int) -> list[dict[str, object]]:
    """Return the flow as Node-RED exports it."""

    def node(name: str, kind: str, *wires: list[str], **more: object) -> dict[str, object]:
        return {"id": name, "z": "tab", "type": kind, "wires": list(wires), **more}

    return [
        {"id": "tab", "type": "tab", "label": "contacts"},
        node("in", "http in", ["judge"], url="/contact", method="post", upload=False),
        node("judge", "function", ["answer"], ["keep"], func=JUDGE.replace("@TOKEN@", TOKEN), outputs=2),
        node("answer", "http response", statusCode="", headers={}),
        node("keep", "function", ["request"], func=KEEP, outputs=1),
        node(
            "request",
            "http request",
            ["again"],
            method="POST",
            ret="txt",
            url=f"http://127.0.0.1:{sink}/contacts",
            persist=True,
            senderr=False,
        ),
        node("again", "function", ["wait"], func=AGAIN, outputs=1),
        node("wait", "delay", ["keep"], pauseType="delay", timeout="1", timeoutUnits="seconds"),
    ]
