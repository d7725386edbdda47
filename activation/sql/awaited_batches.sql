-- Batches of one sync some of whose receipts have no answer yet, oldest first.
select batch_id
from batches
where
    sync_name = :sync_name
    and accepted_at is not null
    and exists (
        select 1
        from outcomes
        where
            outcomes.batch_id = batches.batch_id
            and outcomes.state in ('accepted', :or_state)
            and outcomes.receipt is not null
    )
order by batch_id
