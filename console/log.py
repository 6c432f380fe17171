"""How our processes log: one line per event on stderr, its name first, then key=value.

Comes in: the level. Goes out: logging set up for this process. Never decides what is logged.
"""

import logging
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LogSettings(BaseSettings):
    """What every process reads for its log."""

    model_config = SettingsConfigDict(env_prefix="RELAIS_", frozen=True, hide_input_in_errors=True, extra="ignore")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="What is logged at least.")


def set_up(settings: LogSettings) -> None:
    """Log to stderr."""
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)-7s %(message)s", force=True)
    # These log every connection and request at INFO.
    for noisy in ("asyncio", "aiohttp.access", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
