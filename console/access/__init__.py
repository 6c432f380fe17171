"""Who may look and act: named people, their sessions and entry links, tokens of programs, and what each did."""

from console.access.audit import Audit, AuditLine
from console.access.roles import LOCAL, Actor, Role
from console.access.sessions import Entry, PhraseRefused, Sessions, SignInRefused, SignOnRefused
from console.access.tokens import NamedToken, Tokens
from console.access.users import NameTaken, User, Users

__all__ = [
    "LOCAL",
    "Actor",
    "Audit",
    "AuditLine",
    "Entry",
    "NameTaken",
    "NamedToken",
    "PhraseRefused",
    "Role",
    "Sessions",
    "SignInRefused",
    "SignOnRefused",
    "Tokens",
    "User",
    "Users",
]
