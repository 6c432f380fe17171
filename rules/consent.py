"""What a person has agreed to, as an action carries it.

Comes in: the answer of a rule's `consent:`. Goes out: two booleans in the action's arguments. Never decides by itself:
where a rule does not say where the consent comes from, the rule does not compile.
"""

from pydantic import BaseModel, ConfigDict


class Consent(BaseModel):
    """The consents that the actions of the destinations know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: May be sent newsletters: a subscription needs it.
    newsletter: bool = False
    #: May be followed as a single user (Maileon's DOI+).
    tracking: bool = False
