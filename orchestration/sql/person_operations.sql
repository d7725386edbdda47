-- Everything that was planned for one person, in the order of the ledger, with the definition that made it.
select
    operations.sync_name,
    operations.destination,
    operations.channel,
    operations.operation,
    operations.state,
    operations.reason,
    operations.attempts,
    operations.planned_at,
    operations.finished_at,
    operations.operation_id,
    operations.sync_run_id,
    operations.definition_hash,
    definitions.version as definition_version,
    operations.ledger_seq
from activation.operations
left join raw.definitions
    on
        operations.definition_hash = definitions.content_hash
        and definitions.kind = 'sync'
where operations.canonical_id = $canonical_id
order by operations.planned_at, operations.ledger_seq, operations.operation_id
