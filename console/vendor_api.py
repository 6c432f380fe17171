"""Asks the APIs of sources with the workers' HTTP client: the same bounds, time-outs and checks of addresses.

Comes in: a request of a source's adapter. Goes out: the answer as the receiver knows it, or its ApiFailed. Never
repeats a request that creates.
"""

from collections.abc import Mapping
from typing import Any, Self

from receiver.vendor_api import ApiFailed, VendorAnswer
from workers.http import Http
from workers.outcome import Failed

#: Seconds for one answer: a page of 250 entries takes a vendor longer than one contact.
ANSWER_WITHIN = 30.0
#: Bytes of a page.
PAGE_CAP = 8 * 1024 * 1024


class OutgoingApi:
    """A VendorApi over real connections."""

    def __init__(self) -> None:
        self._http = Http()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.__aexit__(None, None, None)

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], json: Any = None, allow_private: bool = False
    ) -> VendorAnswer:
        """Return the answer, whatever its status. Raises ApiFailed where there is none."""
        bound = self._http.bind(timeout=ANSWER_WITHIN, allow_private=allow_private, cap=PAGE_CAP)
        try:
            answer = await bound.exchange().request(method, url, headers=headers, json=json, creates=method == "POST")
        except Failed as exc:
            hint = exc.hint.replace("the destination", "the vendor's API")
            raise ApiFailed(exc.code, hint, wait=exc.wait) from exc
        return VendorAnswer(answer.status, answer.body, answer.wait(), answer.cut)
