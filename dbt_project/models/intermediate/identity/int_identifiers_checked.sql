{% set rules = identity_rules() %}

with identifiers as (

    select * from {{ ref('stg_ingestion__identifiers') }}

),

checked as (

    select
        identifier_type,
        raw_value,
        identifier_key,
        identifier_value,
        first_seen_at as received_at,
        case
            when not is_valid then invalid_reason
            else {{ blocked_reason(rules, 'identifier_type', 'identifier_value') }}
        end as refused_because
    from identifiers

)

select * from checked
