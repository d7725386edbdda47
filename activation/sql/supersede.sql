-- What ended badly and is planned again by a new run; it blocks nothing any more.
update outcomes
set
    superseded_at = :now,
    ledger_seq = :ledger_seq
where
    sync_name = :sync_name
    and finished_at is not null
    and state in ('rejected', 'expired')
    and superseded_at is null
    and exists (
        select 1
        from intents
        inner join intents as fresh
            on fresh.sync_run_id = :sync_run_id
            and fresh.destination_key = intents.destination_key
        where intents.operation_number = outcomes.operation_number
    )
