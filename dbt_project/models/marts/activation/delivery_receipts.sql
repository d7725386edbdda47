with operations as (

    select * from {{ ref('stg_activation__operations') }}

),

delivery_receipts as (

    select
        operation_id,
        sync_run_id,
        sync_name,
        destination,
        operation,
        canonical_id,
        identifier_key,
        channel,
        operation_state,
        reason,
        cast(attempts as bigint) as attempts,
        definition_hash,
        payload_hash,
        planned_at,
        finished_at,
        cast(ledger_seq as bigint) as ledger_seq
    from operations
    where operation_state in ('delivered', 'accepted', 'rejected', 'in_doubt', 'suppressed')

)

select * from delivery_receipts
