"""The consents of a person, as arguments of an action.

Comes in: the result of evaluating a rule's `consent:`. Goes out: two booleans in the action's arguments. Never has a
default of true: a rule that does not say where a consent comes from does not compile.
"""

from pydantic import BaseModel, ConfigDict


class Consent(BaseModel):
    """The consents that an action may need."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    #: The person may be sent newsletters. A subscription needs it.
    newsletter: bool = False
    #: Opens and clicks may be recorded per person (Maileon's DOI+).
    tracking: bool = False
