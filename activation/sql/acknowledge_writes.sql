insert into acknowledged (
    sync_name,
    destination_key,
    canonical_id,
    identifier_key,
    payload_hash,
    payload,
    acknowledged_at,
    ledger_seq
)
select
    sync_name,
    destination_key,
    canonical_id,
    identifier_key,
    payload_hash,
    case when :keeps_payloads then payload end,
    :now,
    :ledger_seq
from members
where
    batch_id = :batch_id
    and state = 'delivered'
    and ledger_seq = :ledger_seq
    and holds = 1
on conflict (sync_name, destination_key) do update set
    canonical_id = excluded.canonical_id,
    identifier_key = excluded.identifier_key,
    payload_hash = excluded.payload_hash,
    payload = excluded.payload,
    acknowledged_at = excluded.acknowledged_at,
    ledger_seq = excluded.ledger_seq
