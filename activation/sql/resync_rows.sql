-- A part of what is acknowledged, in order of key.
select
    destination_key,
    payload_hash,
    payload,
    acknowledged_at,
    ledger_seq
from acknowledged
where
    sync_name = :sync_name
    and destination_key > :after
order by destination_key
limit :rows
