select
    sync_name,
    destination_key,
    ledger_seq
from acknowledged_removals
where ledger_seq > :since
