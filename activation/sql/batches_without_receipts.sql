-- Batches of one sync that wait for no answer any more.
update batches
set
    accepted_at = null,
    ledger_seq = :ledger_seq
where
    sync_name = :sync_name
    and accepted_at is not null
    and not exists (
        select 1
        from outcomes
        where
            outcomes.batch_id = batches.batch_id
            and outcomes.state in ('accepted', 'in_doubt')
            and outcomes.receipt is not null
    )
