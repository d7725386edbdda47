with sync_runs as (

    select * from {{ source('activation', 'sync_runs') }}

),

renamed as (

    select
        -- ids
        sync_run_id,

        -- strings
        sync_name,
        destination,

        -- numerics
        adds,
        updates,
        removes,
        delivered,
        accepted,
        rejected,
        suppressed,
        deferred,
        in_doubt,
        ledger_seq,

        -- timestamps
        planned_at,
        finished_at
    from sync_runs

)

select * from renamed
