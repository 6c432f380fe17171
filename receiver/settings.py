"""What `relais receive` reads from the environment, with a default and a sentence each."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from mailroom.settings import StoreSettings
from mailroom.tracing import TraceSettings


class ReceiverSettings(StoreSettings, TraceSettings):
    """Settings of one receiver process."""

    host: str = Field("127.0.0.1", description="Address the receiver listens on.")
    port: int = Field(8080, ge=0, le=65535, description="Port the receiver listens on.")
    listen_fd: int = Field(
        -1,
        ge=-1,
        description="An open socket to listen on, by the number of its descriptor, instead of host and port: "
        "receivers that share one replace each other without refusing anybody. "
        "-1: none, or the one that systemd hands over.",
    )
    book: Path = Field(Path("rules/book"), description="Folder of the rule book.")
    spool: str = Field(
        ".relais/spool",
        description="Folder on a local disk where events wait while the store cannot take them. Empty: no spool.",
    )
    spool_bytes: int = Field(
        1024**3, ge=65_536, description="Largest size of the spool, in bytes; beyond it the answer is 503."
    )
    strict: Literal["", "1s", "power-cut"] = Field(
        "",
        description="What the store must keep of acknowledged events, else the receiver refuses to start: "
        "power-cut (all), 1s (all but the last second before a power cut). Empty: anything goes.",
    )
    approve: bool = Field(
        False,
        description="1: every change of the book waits for `relais rules approve`, not only one that loses a source, a "
        "destination or most of its rules.",
    )
    secrets: Path = Field(
        Path("/run/secrets"),
        description="Folder with one file per secret, read where the environment has no such name.",
    )
    max_body: int = Field(
        1_048_576, ge=1_024, le=64 * 1_048_576, description="Largest request body that is taken, in bytes."
    )
    body_seconds: float = Field(30, gt=0, le=600, description="Seconds that a request body may take to arrive.")
    keep_alive_seconds: int = Field(
        150,
        ge=1,
        le=3_600,
        description="Seconds that a connection stays open without a request. Longer than the proxy keeps it, else a "
        "webhook may meet its end and is answered 502.",
    )
    waiting_events: int = Field(
        10_000, ge=1, description="Events that may wait for the store; beyond it the answer is 503."
    )
    plain_http: bool = Field(
        False,
        description="1: serve with uvicorn's own HTTP protocol (h11) instead of ours, which relies on its internals. "
        "Slower, and without a deadline for heads; for an update of uvicorn that ours does not work with.",
    )
    stop_seconds: float = Field(
        20.0,
        ge=0,
        le=600,
        description="Seconds that the receiver takes to finish accepted requests when it is stopped.",
    )


def in_url(host: str) -> str:
    """Return a host as it stands in an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
