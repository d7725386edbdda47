-- A part of what a list can know of, in order of key.
select
    destination_key,
    payload_hash,
    payload,
    ledger_seq
from acknowledged
where
    sync_name = :sync_name
    and destination_key > :after
    and ledger_seq <= :ledger_seq
    and acknowledged_at <= :moment
order by destination_key
limit :rows
