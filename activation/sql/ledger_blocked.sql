select
    operations.destination_key,
    operations.payload_hash,
    case when operations.state = 'rejected' then 0 else 1 end as is_unsettled
from operations
inner join sync_runs
    on sync_runs.sync_run_id = operations.sync_run_id
where
    operations.sync_name = :sync_name
    and (
        operations.state in ('in_flight', 'accepted', 'in_doubt')
        or (
            operations.state = 'rejected'
            and operations.holds = 1
            and operations.superseded_at is null
            and sync_runs.definition_hash = :definition_hash
        )
    )
