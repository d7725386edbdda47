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
    outcomes.sync_name,
    intents.destination_key,
    intents.canonical_id,
    intents.identifier_key,
    case when intents.operation = 'send' then '' else 'unknown' end,
    :now,
    :ledger_seq
from outcomes
inner join intents
    on intents.operation_number = outcomes.operation_number
where
    outcomes.ledger_seq = :ledger_seq
    and outcomes.state = 'cancelled'
    and (intents.operation = 'send' or intents.holds = 1)
    and outcomes.batch_id in (
        select batches.batch_id
        from batches
        where
            batches.sync_name = :sync_name
            and (batches.state = 'unknown' or batches.accepted_at is not null)
    )
on conflict (sync_name, destination_key) do update set
    payload_hash = excluded.payload_hash,
    payload = null,
    acknowledged_at = excluded.acknowledged_at,
    ledger_seq = excluded.ledger_seq
where excluded.payload_hash <> ''
