"""A new key for the identifiers in the ledger: denials and open operations go on to find each other."""

from collections.abc import Mapping

from activation.ledger import Ledger

_TABLES = ("intents", "acknowledged", "denials")


def rekey_ledger(ledger: Ledger, pairs: Mapping[str, str]) -> int:
    """Replace former keys by new ones in one transaction; returns the rows that carried one.

    What the warehouse knows of the ledger is rekeyed there, so no row counts as changed.
    """
    with ledger.write() as transaction:
        transaction.execute("create temp table new_keys (former_key text primary key, new_key text not null)")
        transaction.connection.executemany("insert into new_keys values (?, ?)", pairs.items())
        rekeyed = sum(
            transaction.execute(
                f"update {table} set identifier_key = new_keys.new_key from new_keys "
                f"where {table}.identifier_key = new_keys.former_key"
            ).rowcount
            for table in _TABLES
        )
        transaction.execute("drop table new_keys")
    return rekeyed
