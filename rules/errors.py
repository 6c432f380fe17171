"""The exceptions of `rules`.

RulesError
  BookRefused    a book has errors and does not count; carries every problem found
  ValueFailed    a value of an action could not be made for this event
  SecretMissing  a secret that a book refers to, such as `${CRM_TOKEN}`, is not set

Comes in: problems and reasons. Goes out: exceptions. Never a value in their text: values are personal data or secrets,
and texts end up in logs.
"""

from collections.abc import Sequence

from rules.source.problem import Problem


class RulesError(Exception):
    """Anything that goes wrong in `rules`."""


class BookRefused(RulesError):
    """A book has errors and is not used; the book in force stays."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        errors = [problem for problem in self.problems if problem.severity == "error"]
        first = str(errors[0]) if errors else "no reason given"
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(first + more)


class ValueFailed(RulesError):
    """A value could not be computed for this event. Permanent: computing it again fails in the same way."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}" if path else why)
        #: The argument (`email`, `customer.name`), or the path in the event that was absent.
        self.path = path
        #: The reason, without any value.
        self.why = why
        #: The rule and the action, once known.
        self.rule = ""
        self.action = ""

    def inside(self, rule: str, action: str) -> "ValueFailed":
        """Set rule and action, and return the exception."""
        self.rule, self.action = rule, action
        return self

    def __str__(self) -> str:
        place = f'rule "{self.rule}", {self.action}: ' if self.rule else ""
        return place + super().__str__()


class SecretMissing(RulesError):
    """A secret is not set; `name` is the environment variable or file that is missing."""

    def __init__(self, name: str, why: str = "") -> None:
        """`why`: what is wrong with the file that is there."""
        what = f"has no value: {why}" if why else "is not set"
        super().__init__(f"the secret {name} {what}: set the environment variable {name}, or mount a file of that name")
        self.name = name
        self.why = why
