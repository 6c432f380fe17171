"""The route `/books/VERSION`: the files of a rule book that is or was in force.

Comes in: a version, or `current`. Goes out: the files as JSON. Never reads the folder of the book: what lies
there may not be in force yet.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.api.request import get_mailroom, refuse


async def show_book(request: Request) -> Response:
    """Answer the files of a book that was in force, by its version; `current` is the one that is."""
    version = request.path_params["version"]
    mailroom = get_mailroom(request)
    current = await mailroom.book_version() or None
    wanted = current if version == "current" else version
    files = await mailroom.kept_book(wanted) if wanted else None
    if files is None:
        return refuse("unknown_book", "no book of this version was ever in force", 404)
    return JSONResponse({"version": wanted, "current": current, "files": files})


ROUTES = (Route("/books/{version}", show_book),)
