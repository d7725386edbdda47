select
    destination_key,
    payload_hash,
    1 as is_unsettled
from unsettled
where sync_name = :sync_name
union all
select
    intents.destination_key,
    intents.payload_hash,
    0 as is_unsettled
from outcomes
inner join intents
    on intents.operation_number = outcomes.operation_number
inner join sync_runs
    on sync_runs.sync_run_id = intents.sync_run_id
where
    outcomes.sync_name = :sync_name
    and outcomes.finished_at is not null
    and outcomes.state in ('rejected', 'expired')
    and outcomes.state = 'rejected'
    and outcomes.superseded_at is null
    and intents.holds = 1
    and sync_runs.definition_hash = :definition_hash
