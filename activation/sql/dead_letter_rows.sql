-- The newest of those operations, one by one.
select
    operations.operation_id,
    operations.sync_run_id,
    operations.operation,
    operations.destination_key,
    operations.state,
    operations.reason
from operations
inner join sync_runs
    on sync_runs.sync_run_id = operations.sync_run_id
where
    operations.sync_name = coalesce(:sync_name, operations.sync_name)
    and operations.state in ('rejected', 'expired', 'in_doubt')
    and operations.superseded_at is null
order by operations.operation_number desc
limit :limit
