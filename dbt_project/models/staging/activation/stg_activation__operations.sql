with operations as (

    select * from {{ source('activation', 'operations') }}

),

renamed as (

    select
        -- ids
        operation_id,
        sync_run_id,
        canonical_id,
        identifier_key,
        destination_key_hash,
        payload_hash,
        definition_hash,

        -- strings
        sync_name,
        destination,
        operation,
        channel,
        state as operation_state,
        reason,

        -- numerics
        attempts,
        ledger_seq,

        -- timestamps
        planned_at,
        finished_at
    from operations

)

select * from renamed
