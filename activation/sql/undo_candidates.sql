-- What each delivered operation of one run would need to be undone, and why it cannot be.
select
    operations.operation,
    operations.destination_key,
    operations.canonical_id,
    operations.identifier_key,
    operations.payload_hash,
    operations.former_hash,
    operations.former_payload,
    case
        when operations.operation in ('erase', 'send') then 'irreversible'
        when operations.operation = 'remove' and operations.holds = 1 then 'irreversible'
        when exists (
            select 1
            from operations as others
            where
                others.sync_name = operations.sync_name
                and others.destination_key = operations.destination_key
                and others.is_open is not null
                and others.state in ('in_flight', 'accepted', 'in_doubt')
        ) then 'in_doubt'
        when operations.holds = 1 and acknowledged.payload_hash is null then 'changed_since'
        when operations.holds = 1 and acknowledged.payload_hash <> operations.payload_hash then 'changed_since'
        when operations.holds = 0 and acknowledged.payload_hash is not null then 'changed_since'
        when operations.operation = 'add' and operations.former_hash is null then null
        when operations.former_payload is null then 'former_not_kept'
    end as impossible
from sync_runs
inner join operations
    on operations.operation_number between sync_runs.first_operation and sync_runs.last_operation
left join acknowledged
    on acknowledged.sync_name = operations.sync_name
    and acknowledged.destination_key = operations.destination_key
where
    sync_runs.sync_run_id = :sync_run_id
    and operations.state = 'delivered'
order by operations.operation = 'remove', operations.destination_key
