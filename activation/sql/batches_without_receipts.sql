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
        from operations
        where
            operations.batch_id = batches.batch_id
            and operations.state in ('accepted', 'in_doubt')
            and operations.receipt is not null
    )
