select
    sync_name,
    destination_key,
    canonical_id,
    identifier_key,
    payload_hash,
    acknowledged_at,
    ledger_seq
from acknowledged
where ledger_seq > :since
