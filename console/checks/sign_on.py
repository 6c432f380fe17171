"""Whether people can sign in by single sign-on: its packages, its secret, what the provider says of itself.

Comes in: settings. Goes out: a HealthCheck where single sign-on is asked for. Never signs anybody in.
"""

import asyncio
from dataclasses import replace

from console.access import SignOnRefused, oidc_settings
from console.access.oidc_settings import OidcSettings
from console.checks.store import HealthCheck
from console.errors import UserError
from workers.http import Http


def check(settings: OidcSettings) -> list[HealthCheck]:
    """Return whether the provider can be asked, and is who the settings say."""
    issuer = settings.oidc_issuer
    if not issuer:
        return []
    try:
        oidc_settings.demand(settings)
        asyncio.run(_ask(settings))
    except UserError as exc:
        wrong = HealthCheck.of("sign_on", False, "sign_on_wrong", issuer=issuer, said=exc.message)
        return [replace(wrong, mend=exc.mend)]
    except SignOnRefused as exc:
        return [HealthCheck.of("sign_on", False, "sign_on_wrong", issuer=issuer, said=exc.why)]
    return [HealthCheck.of("sign_on", True, "sign_on_right", issuer=issuer)]


async def _ask(settings: OidcSettings) -> None:
    from console.access.oidc import OidcProvider  # of the extra

    async with Http() as http:
        await OidcProvider(settings, http).discover()
