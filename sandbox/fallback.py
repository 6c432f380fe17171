"""What an imitated vendor answers to everything that it does not model: 501, as an error of its own.

Comes in: a vendor. Goes out: the last of its routes. Never lets through what would be taken for the vendor's answer.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.calls import Vendor

PATH = "/{path:path}"
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


def build_route(vendor: Vendor) -> Route:
    """Return the route; it goes behind all others."""
    return Route(PATH, build_handler(vendor), methods=METHODS)


def build_handler(vendor: Vendor) -> Callable[[Request], Awaitable[Response]]:
    """Return what answers, for a vendor that asks for its key first."""

    async def refuse(_: Request) -> Response:
        return vendor.error(501, "the sandbox does not model this")

    return refuse
