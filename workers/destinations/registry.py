"""All kinds of destinations. A new one is one file, its test and one line here."""

from collections.abc import Mapping
from types import MappingProxyType

from rules.catalogue import DestinationKind
from workers.destinations import maileon, rest, seminardesk, tryton
from workers.destinations.base import Client

#: Kind -> what carries its actions out.
CLIENTS: Mapping[str, type[Client]] = MappingProxyType(
    {
        "maileon": maileon.MaileonClient,
        "rest": rest.RestClient,
        "seminardesk": seminardesk.SeminarDeskClient,
        "tryton": tryton.TrytonClient,
    }
)

#: Kind -> what it is: its options and actions, for the catalogue.
KINDS: Mapping[str, DestinationKind] = MappingProxyType(
    {module.KIND.name: module.KIND for module in (maileon, rest, seminardesk, tryton)}
)
