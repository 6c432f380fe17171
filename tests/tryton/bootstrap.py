"""What an empty Tryton needs before it can make an invoice: currency, company, accounts, fiscal year, tax, key.

Runs in Tryton's own venv. Comes in: the address of the database. Goes out: the key of the REST API, on one line.
"""

import datetime
import sys
from decimal import Decimal
from typing import Any

from proteus import Model, Wizard, config  # type: ignore[import-not-found]


def main(database: str) -> str:
    """Set the company up and return the key."""
    settings = config.set_trytond(database, user="admin")
    euro = make_currency()
    make("country.country", name="Deutschland", code="DE", code3="DEU")
    company = make_company(euro)
    settings._context = Model.get("res.user").get_preferences(True, {})
    make_chart(company, settings.context)
    make_fiscal_year(company, settings.context)
    make_tax(company)
    (admin,) = Model.get("res.user").find([("login", "=", "admin")])
    return str(make("res.user.application", user=admin, application="rest").key)


def make(model: str, **values: Any) -> Any:
    """Make and save a record."""
    record = Model.get(model)(**values)
    record.save()
    return record


def reference(name: str, context: Any) -> int:
    """Return the id of a record that came with a module."""
    return int(Model.get("ir.model.data").get_id(name, context))


def make_currency() -> Any:
    """Make the euro."""
    euro = make("currency.currency", name="Euro", symbol="€", code="EUR", rounding=Decimal("0.01"), digits=2)
    make("currency.currency.rate", currency=euro, date=datetime.date(2020, 1, 1), rate=Decimal(1))
    return euro


def make_company(currency: Any) -> Any:
    """Make the one company."""
    wizard = Wizard("company.company.config")
    wizard.execute("company")
    wizard.form.party = make("party.party", name="Seminarhaus Beispiel GmbH")
    wizard.form.currency = currency
    wizard.execute("add")
    (company,) = Model.get("company.company").find([])
    return company


def make_chart(company: Any, context: Any) -> None:
    """Make the German chart of accounts that comes with the module, and its defaults."""

    def first(kind: str) -> Any:
        domain = [(f"type.{kind}", "=", True), ("company", "=", company.id), ("closed", "!=", True)]
        (account,) = Model.get("account.account").find(domain, limit=1)
        return account

    wizard = Wizard("account.create_chart")
    wizard.execute("account")
    template = reference("account.account_template_root_de", context)
    wizard.form.account_template = Model.get("account.account.template")(template)
    wizard.form.company = company
    wizard.execute("create_account")
    wizard.form.account_receivable = first("receivable")
    wizard.form.account_payable = first("payable")
    wizard.form.category_account_expense = first("expense")
    wizard.form.category_account_revenue = first("revenue")
    wizard.execute("create_properties")


def make_fiscal_year(company: Any, context: Any) -> None:
    """Make this year, with sequences for moves and invoices."""

    def sequence(name: str, kind: str, **values: Any) -> Any:
        kind_id = reference(kind, context)
        kind_record = Model.get("ir.sequence.type")(kind_id)
        return make("ir.sequence.strict", name=name, sequence_type=kind_record, company=company, **values)

    year = datetime.date.today().year
    numbers = sequence("Rechnungen", "account_invoice.sequence_type_account_invoice", prefix=f"RE{year}-", padding=5)
    fiscal_year = Model.get("account.fiscalyear")(
        name=str(year),
        start_date=datetime.date(year, 1, 1),
        end_date=datetime.date(year, 12, 31),
        company=company,
        move_sequence=sequence("Buchungen", "account.sequence_type_account_move"),
    )
    (invoices,) = fiscal_year.invoice_sequences
    for kind in ("out_invoice", "in_invoice", "out_credit_note", "in_credit_note"):
        setattr(invoices, f"{kind}_sequence", numbers)
    fiscal_year.save()
    fiscal_year.click("create_period")


def make_tax(company: Any) -> None:
    """Make the tax of 19 %."""
    (account,) = Model.get("account.account").find([("company", "=", company.id), ("code", "=", "2.2.3")])
    make(
        "account.tax",
        name="USt 19 %",
        description="USt 19 %",
        type="percentage",
        rate=Decimal("0.19"),
        company=company,
        invoice_account=account,
        credit_note_account=account,
    )


if __name__ == "__main__":
    print(main(sys.argv[1]))
