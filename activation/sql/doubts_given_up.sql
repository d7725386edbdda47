-- What this transaction closed without an answer. The occurrence of a message is over. What may have brought a key to the
-- destination, or changed it there, leaves it acknowledged with a hash that no payload has (NEVER_SENT of resync.py):
-- whoever is still wanted is sent again, and whoever is not is removed.
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
    case when operation = 'send' then '' else 'unknown' end,
    :now,
    :ledger_seq
from operations
where
    ledger_seq = :ledger_seq
    and state = 'cancelled'
    and (operation = 'send' or holds = 1)
    and batch_id in (select batch_id from batches where state = 'unknown' or accepted_at is not null)
on conflict (sync_name, destination_key) do update set
    payload_hash = excluded.payload_hash,
    payload = null,
    acknowledged_at = excluded.acknowledged_at,
    ledger_seq = excluded.ledger_seq
where excluded.payload_hash <> ''
