"""Registers a source's webhooks at its platform: reads what is there, then makes or changes only what differs.

Comes in: a source of the book, the platform's webhooks, our public address. Goes out: what was done about each event.
Never touches a webhook that posts elsewhere, and never shows a token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from receiver.sources.base import HookRegistry, VendorHook
from receiver.verification import Signed

#: What became of a webhook: `other` posts elsewhere, `left` to a source of this name at another address, `twice`
#: tells what another one tells already.
HookState = Literal["made", "changed", "there", "removed", "left", "other", "ours", "twice"]


@dataclass(frozen=True, slots=True)
class HookReport:
    """A webhook, and what it is to us or what was done about it."""

    id: str
    event: str
    url: str
    state: HookState


def find_ours(hooks: list[VendorHook], source: str) -> list[VendorHook]:
    """Return the webhooks that post to a source here, whatever our address is called."""
    return [hook for hook in hooks if f"/in/{quote(source)}/" in hook.url]


async def list_all(registry: HookRegistry, source: str) -> list[HookReport]:
    """Return all webhooks of the account. Raises ApiFailed."""
    hooks = await registry.list_hooks()
    ours = {hook.id for hook in find_ours(hooks, source)}
    return [HookReport(hook.id, hook.event, hook.url, "ours" if hook.id in ours else "other") for hook in hooks]


async def register(registry: HookRegistry, source: str, to: str, proof: Signed) -> list[HookReport]:
    """Make what is missing and change what differs; done twice, it changes nothing. Raises ApiFailed."""
    urls: Mapping[str, str] = {event: f"{to.rstrip('/')}/in/{quote(source)}/{quote(event)}" for event in registry.words}
    wanted = {
        event: registry.define(f"Relais {source} {event}", word, urls[event], proof)
        for event, word in registry.words.items()
    }
    hooks = await registry.list_hooks()
    done: list[HookReport] = []
    for event, word in registry.words.items():
        url = urls[event]
        found = [hook for hook in hooks if (hook.event, hook.url) == (word, url)]
        if not found:
            await registry.save(wanted[event])
            done.append(HookReport("", word, url, "made"))
        elif registry.is_same(found[0], wanted[event]):
            done.append(HookReport(found[0].id, word, url, "there"))
        else:
            await registry.save(wanted[event], found[0].id)
            done.append(HookReport(found[0].id, word, url, "changed"))
        done += [HookReport(hook.id, word, url, "twice") for hook in found[1:]]
    return done


async def remove(registry: HookRegistry, source: str, to: str) -> list[HookReport]:
    """Remove the webhooks that post to a source at our address. Raises ApiFailed.

    What posts to a source of this name at another address is left, and told: it may be another Relais.
    """
    here = f"{to.rstrip('/')}/in/{quote(source)}/"
    done: list[HookReport] = []
    for hook in find_ours(await registry.list_hooks(), source):
        state: HookState = "left"
        if hook.url.startswith(here):
            await registry.remove(hook.id)
            state = "removed"
        done.append(HookReport(hook.id, hook.event, hook.url, state))
    return done
