import re
from pathlib import Path

import pytest
import redis

from console.checks import doctor, rights
from mailroom.client import library_text
from tests.conftest import PrivateValkey

DOCS = Path(__file__).parents[3] / "docs" / "operating.md"


def test_docs_name_the_rights() -> None:
    """The smallest line of the docs has each command that is tried, and no other."""
    line = DOCS.read_text().partition("~rq:* &rq:* -@all\n")[2].partition("```")[0]
    assert sorted(word.removeprefix("+") for word in line.split()) == rights.list_commands()


def test_functions_need_no_other_rights() -> None:
    """What the functions of the mailroom call is tried."""
    called = {name.lower() for name in re.findall(r"(?:redis\.p?call|write_all)\('(\w+)'", library_text())}
    assert len(called) > 30
    assert called <= set(rights.list_commands())


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("~relais:* ~rq:* &rq:* +@all", ""),
        ("~relais:* &rq:* +@all", "keys rq:*"),
        ("~rq:* &rq:* +@all", "keys relais:*"),
        ("~relais:* ~rq:* resetchannels +@all", "channels rq:*"),
        ("~* &* +@all -fcall", "fcall"),
        ("~* &* +@all -exec", "exec"),
        ("~* &* +@all -watch -zadd", "zadd, watch"),
        ("%R~relais:* ~rq:* &rq:* +@all", "keys relais:*"),
    ],
)
def test_rights(valkey: PrivateValkey, rule: str, says: str) -> None:
    """What the user may not do is named, and nothing is written by trying."""
    with redis.Redis.from_url(valkey.url) as admin:
        admin.execute_command("ACL", "SETUSER", "relais", "on", ">pw", "resetchannels", *rule.split())
        [found] = doctor.rights_of(valkey.url.replace("unix://", "unix://relais:pw@"), "")
        assert (found.ok, says in found.says) == (not says, True)
        assert bool(found.mend) is bool(says)
        assert admin.dbsize() == 0
