from sandbox import accounts
from sandbox.accounts import Accounts


def test_environment_wins() -> None:
    """A variable of the environment replaces a key; an empty one says nothing."""
    told = accounts.from_environ({"SANDBOX_CRM_TOKEN": "another", "SANDBOX_INVOICING_TOKEN": "", "CRM_TOKEN": "real"})
    assert told == Accounts(crm_token="another")


def test_keys_differ() -> None:
    """No key opens two doors."""
    keys = vars(Accounts()).values()
    assert len(set(keys)) == len(keys)
