"""The page of the views that somebody keeps: names for lists as they were filtered.

Comes in: the address of a list and a name, by POST. Goes out: links. Never shows the views of somebody else.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.access.views import SavedViews, ViewRefused, clean
from console.api.request import get_mailroom, read_who
from console.web import page
from console.web.language import N_


async def show_views(request: Request) -> Response:
    """Answer the views of who asks, and the form for the list that they come from."""
    return await _render(request, request.query_params.get("of", ""))


async def save_view(request: Request) -> Response:
    """Keep a view."""
    form = await page.read_form(request)
    of = form.get("of", "")
    try:
        await SavedViews(get_mailroom(request)).save(read_who(request), form.get("name", ""), of)
    except ViewRefused:
        wrong = N_("A view has a name of up to 60 characters and the address of a list; neither may name a person.")
        return await _render(request, of, wrong)
    return page.go(request, "views")


async def remove_view(request: Request) -> Response:
    """Keep a view no longer."""
    form = await page.read_form(request)
    await SavedViews(get_mailroom(request)).remove(read_who(request), form.get("name", ""))
    return page.go(request, "views")


async def _render(request: Request, of: str, wrong: str = "") -> Response:
    try:
        of = clean(of) if of else ""
    except ViewRefused:
        of = ""
    views = await SavedViews(get_mailroom(request)).all(read_who(request))
    base = f"{request.app.state.base}/ui"
    return await page.render(request, "views.html", 400 if wrong else 200, views=views, of=of, wrong=wrong, below=base)


ROUTES = (
    Route("/views", show_views),
    Route("/views", save_view, methods=["POST"]),
    Route("/views/remove", remove_view, methods=["POST"]),
)
