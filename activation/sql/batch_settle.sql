-- A batch that was answered: when it was last accepted, if any of its receipts has no answer yet.
update batches
set
    state = :state,
    accepted_at = case
        when cast(:accepted_now as bigint) is null and accepted_at is null then null
        when exists (
            select 1
            from outcomes
            where
                outcomes.batch_id = batches.batch_id
                and outcomes.state in ('accepted', 'in_doubt')
                and outcomes.receipt is not null
        ) then coalesce(:accepted_now, accepted_at)
    end,
    ledger_seq = :ledger_seq
where batch_id = :batch_id
