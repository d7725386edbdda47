insert into acknowledged (
    sync_name,
    destination_key,
    canonical_id,
    identifier_key,
    payload_hash,
    acknowledged_at,
    ledger_seq
)
select
    sync_name,
    destination_key,
    canonical_id,
    identifier_key,
    payload_hash,
    :now,
    :ledger_seq
from operations
where
    batch_id = :batch_id
    and state = 'delivered'
    and ledger_seq = :ledger_seq
    and operation in ('add', 'update')
on conflict (sync_name, destination_key) do update set
    canonical_id = excluded.canonical_id,
    identifier_key = excluded.identifier_key,
    payload_hash = excluded.payload_hash,
    acknowledged_at = excluded.acknowledged_at,
    ledger_seq = excluded.ledger_seq
