"""What one drain did: the result of its RQ job."""

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Summary:
    """Counts of one drain."""

    routed: int = 0
    delivered: int = 0
    retried: int = 0
    dead: int = 0
    held: int = 0

    def as_json(self) -> dict[str, int]:
        """Return it as plain JSON values."""
        return asdict(self)
