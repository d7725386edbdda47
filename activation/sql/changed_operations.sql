select
    operations.operation_id,
    operations.sync_run_id,
    operations.sync_name,
    sync_runs.destination,
    operations.operation,
    operations.destination_key,
    operations.canonical_id,
    operations.identifier_key,
    sync_runs.channel,
    operations.state,
    operations.reason,
    operations.attempts,
    sync_runs.planned_at,
    operations.finished_at,
    sync_runs.definition_hash,
    operations.payload_hash,
    operations.ledger_seq
from operations
inner join sync_runs
    on sync_runs.sync_run_id = operations.sync_run_id
where operations.ledger_seq > :since
