with suppressions_collected as (

    select * from {{ ref('int_suppressions_collected') }}

),

suppressions as (

    select
        identifier_key,
        identifier_type,
        channel,
        reason,
        source_system,
        source_record,
        suppressed_at
    from suppressions_collected

)

select * from suppressions
