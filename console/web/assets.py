"""The files that pages refer to: style, module, icon; each under a name that changes with its content.

Comes in: a plain name. Goes out: its address, or the file itself to keep for a year.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
A_YEAR = "public, max-age=31536000, immutable"


@cache
def _files() -> Mapping[str, tuple[str, bytes]]:
    """Return name -> the name that has its hash in it, and its content."""
    found = {}
    for file in resources.files("console.web").joinpath("static").iterdir():
        stem, _, suffix = file.name.rpartition(".")
        content = file.read_bytes()
        found[file.name] = (f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}", content)
    return found


def address(name: str) -> str:
    """Return the name under which a browser asks for a file."""
    return _files()[name][0]


async def show_file(request: Request) -> Response:
    """Answer a file."""
    wanted = request.path_params["name"]
    for hashed, content in _files().values():
        if hashed == wanted:
            return Response(content, media_type=TYPES[hashed.rpartition(".")[2]], headers={"Cache-Control": A_YEAR})
    return PlainTextResponse("no such file\n", 404)


ROUTES = (Route("/static/{name}", show_file),)
