"""How our processes log: one line per fact on stderr, its name first, then key=value; or the same as JSON.

Comes in: level and form. Goes out: logging set up for this process. Never decides what is logged, and never lets a
value begin a line, end one or pass for another key; what looks like an e-mail address is not printed.
"""

import json
import logging
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from rules.event_types.base import from_epoch

#: A placeholder of a line, as `%` has it.
_PLACEHOLDER = re.compile(r"%(?:%|[-#0 +]*\d*(?:\.\d+)?[a-zA-Z])")
#: A key of a line with its value: `source=%s`.
_PAIR = re.compile(r"([A-Za-z_]\w*)=(\S*?)(:?)\Z")
_URL_USER = re.compile(r"//[^/?#@\s]*@")
#: What may be an address: it is looked at as a whole, so that long lines take no longer than they are.
_WORD = re.compile(r"[^\s\"'<>()\[\],;:=/?&]+")
_IN_WORD = re.compile(r"[^@*]@[^@*]+\.[a-z]", re.IGNORECASE)
_ODD = re.compile(r'[\s"=]')


class LogSettings(BaseSettings):
    """What every process reads for its log."""

    model_config = SettingsConfigDict(env_prefix="RELAIS_", frozen=True, hide_input_in_errors=True, extra="ignore")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="What is logged at least.")
    log: Literal["text", "json"] = Field(
        "text", description="How: text, or json with one object a line; the keys are the same."
    )


def set_up(settings: LogSettings) -> None:
    """Log to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(as_json=settings.log == "json"))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # These log every connection and request at INFO.
    for noisy in ("asyncio", "aiohttp.access", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))


class LinePart(NamedTuple):
    """A word of a line, or a key with its value."""

    key: str
    value: Any
    #: What follows it: a colon, before words.
    end: str = ""


class LineFormatter(logging.Formatter):
    """Writes a record as one line, whatever its values are."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        parts = list(_read(record))
        if record.exc_info:
            parts.append(LinePart("traceback", self.formatException(record.exc_info)))
        if self._as_json:
            return self._write_json(record, parts)
        words = [f"{each.key}={_quote(each.value)}" if each.key else _escape(each.value) for each in parts]
        told = " ".join(f"{word}{each.end}" for word, each in zip(words, parts, strict=True))
        return f"{self.formatTime(record)} {record.levelname:7} {told}"

    def _write_json(self, record: logging.LogRecord, parts: list[LinePart]) -> str:
        at = from_epoch(int(record.created * 1000))
        line: dict[str, Any] = {"at": at, "level": record.levelname, "logger": record.name}
        words = [_hide(str(each.value)) for each in parts if not each.key]
        if _is_ours(record):
            line["event"] = words.pop(0).rstrip(":")
        for key, value, _ in parts:
            if key:
                line[key] = value if type(value) in (int, float) else _hide(str(value))
        if words:
            line["text"] = " ".join(words)
        # In ASCII, so that no sign of a text can end a line.
        return json.dumps(line)


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == "relais"


def _read(record: logging.LogRecord) -> Iterator[LinePart]:
    """Yield the words and pairs of a line: what is a key says its template, never a value."""
    template, values = record.msg, list(record.args) if isinstance(record.args, tuple) else []
    if not _is_ours(record) or not isinstance(template, str) or len(_specs(template)) != len(values):
        yield LinePart("", record.getMessage())
        return
    for word in template.split(" "):
        own = tuple(values[: len(_specs(word))])
        del values[: len(own)]
        pair = _PAIR.match(word)
        text, end = (pair[2], pair[3]) if pair else (word, "")
        value = own[0] if text in ("%d", "%s") else text % own if record.args else text
        yield LinePart(pair[1] if pair else "", value, end)
    for key, value in getattr(record, "about", {}).items():
        yield LinePart(key, value)


def _specs(text: str) -> list[str]:
    return [each for each in _PLACEHOLDER.findall(text) if each != "%%"]


def _hide(text: str) -> str:
    if "@" not in text and "%40" not in text:
        return text
    text = _URL_USER.sub("//***@", text)
    return _WORD.sub(lambda word: "***" if _IN_WORD.search(word[0].replace("%40", "@")) else word[0], text)


def _escape(value: Any) -> str:
    text = _hide(str(value))
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _quote(value: Any) -> str:
    """Return a value as one word, in quotes where it has blanks, quotes or = in it."""
    text = _escape(value)
    return json.dumps(text, ensure_ascii=False) if _ODD.search(text) else text
