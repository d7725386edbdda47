-- The messages that this transaction closed without an answer: their occurrences are over.
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
    '',
    :now,
    :ledger_seq
from operations
where
    ledger_seq = :ledger_seq
    and state = 'cancelled'
    and operation = 'send'
    and batch_id in (select batch_id from batches where state = 'unknown' or accepted_at is not null)
on conflict do nothing
