-- Some receipts of a batch were answered: the batch waits for the others, and is settled once nobody is open.
update batches
set
    accepted_at = case
        when exists (
            select 1
            from outcomes
            where
                outcomes.batch_id = batches.batch_id
                and outcomes.state in ('accepted', 'in_doubt')
                and outcomes.receipt is not null
        ) then accepted_at
    end,
    state = case
        when state = 'unknown' and not exists (
            select 1
            from outcomes
            where
                outcomes.batch_id = batches.batch_id
                and outcomes.finished_at is null
        ) then 'settled'
        else state
    end,
    ledger_seq = :ledger_seq
where batch_id = :batch_id
returning state
