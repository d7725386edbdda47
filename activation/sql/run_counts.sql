-- Rows of state, reason and how many operations of one run have them, without a look at each: of those that fared with
-- their batch only the edges of the batch are asked for.
select
    outcomes.state,
    outcomes.reason,
    count(*) as operations
from sync_runs
inner join outcomes
    on outcomes.operation_number between sync_runs.first_operation and sync_runs.last_operation
where sync_runs.sync_run_id = :sync_run_id
group by outcomes.state, outcomes.reason
union all
select
    case when batches.answered_at is null then 'in_flight' else 'delivered' end as state,
    null as reason,
    batches.last_operation - batches.first_operation + 1 - (
        select count(*)
        from outcomes
        where outcomes.operation_number between batches.first_operation and batches.last_operation
    ) as operations
from sync_runs
inner join batches
    on batches.first_operation between sync_runs.first_operation and sync_runs.last_operation
where sync_runs.sync_run_id = :sync_run_id
union all
select
    rest as state,
    rest_reason as reason,
    last_operation - next_operation + 1 as operations
from sync_runs
where
    sync_run_id = :sync_run_id
    and rest <> 'claimed'
