"""The API keys of the sandbox.

Comes in: the environment. Goes out: one frozen Accounts. The keys are invented, may be printed, and never open a
real account.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Accounts:
    """One account at each vendor; every field can be set by the environment variable `SANDBOX_` + its name."""

    #: Maileon: a key with all rights, one that may only create and update, one that has expired.
    maileon_api_key: str = "5a9db0c5-0000-4000-8000-sandbox-only"
    maileon_api_key_write_only: str = "5a9db0c5-0000-4000-8000-sandbox-write"
    maileon_api_key_expired: str = "5a9db0c5-0000-4000-8000-sandbox-old"
    #: SeminarDesk: a key with all permissions, one that may only read.
    seminardesk_api_key: str = "sandbox-seminardesk-key"
    seminardesk_api_key_read_only: str = "sandbox-seminardesk-read-key"
    activetrail_api_key: str = "sandbox-activetrail-key"
    #: Magnetis: a key of the API, and its sandbox key.
    magnetis_api_key: str = "sandbox-magnetis-key"
    magnetis_sandbox_key: str = "sandbox-magnetis-sample-key"
    lexware_api_key: str = "sandbox-lexware-key"
    pipedrive_api_token: str = "sandbox-pipedrive-token"  # noqa: S105 (opens only the sandbox)
    etracker_account_key: str = "sandbox-etracker-account"
    etracker_api_key: str = "sandbox-etracker-key"
    webhook_secret: str = "whsec_c2FuZGJveC1vbmx5LXNlY3JldC1vZi1hLXdlYmhvb2s="  # noqa: S105 (opens only the sandbox)
    mail_password: str = "sandbox-mail-password"  # noqa: S105 (opens only the sandbox)
    hubspot_access_token: str = "sandbox-hubspot-token"  # noqa: S105 (opens only the sandbox)
    crm_token: str = "sandbox-crm-token"  # noqa: S105 (opens only the sandbox)
    invoicing_token: str = "sandbox-invoicing-token"  # noqa: S105 (opens only the sandbox)
    #: Opens CRM and invoicing.
    rest_token: str = "sandbox-rest-token"  # noqa: S105 (opens only the sandbox)


def from_environ(environ: Mapping[str, str]) -> Accounts:
    """Return the accounts, with overrides from the environment: `SANDBOX_CRM_TOKEN` sets `crm_token`."""
    told = {field.name: environ.get(f"SANDBOX_{field.name.upper()}") for field in fields(Accounts)}
    return Accounts(**{name: value for name, value in told.items() if value})
