-- What each delivered operation of one run would need to be undone, and why it cannot be.
with

waiting as (

    select destination_key
    from unsettled
    where sync_name = (select sync_runs.sync_name from sync_runs where sync_runs.sync_run_id = :sync_run_id)

)

select
    operations.operation,
    operations.destination_key,
    operations.canonical_id,
    operations.identifier_key,
    operations.payload_hash,
    formers.former_hash,
    formers.former_payload,
    acknowledged.payload as sent_payload,
    case
        when operations.operation in ('erase', 'send') then 'irreversible'
        when operations.operation = 'remove' and operations.holds = 1 then 'irreversible'
        when operations.destination_key in (select waiting.destination_key from waiting) then 'in_doubt'
        when operations.holds = 1 and acknowledged.payload_hash is null then 'changed_since'
        when operations.holds = 1 and acknowledged.payload_hash <> operations.payload_hash then 'changed_since'
        when operations.holds = 0 and acknowledged.payload_hash is not null then 'changed_since'
        when operations.operation = 'add' and formers.former_hash is null then null
        when formers.former_payload is null then 'former_not_kept'
    end as impossible
from operations
left join formers
    on formers.operation_number = operations.operation_number
left join acknowledged
    on acknowledged.sync_name = operations.sync_name
    and acknowledged.destination_key = operations.destination_key
where
    operations.sync_run_id = :sync_run_id
    and operations.state = 'delivered'
-- what had nobody before is removed, and removals come first
order by formers.former_hash is not null, operations.destination_key
