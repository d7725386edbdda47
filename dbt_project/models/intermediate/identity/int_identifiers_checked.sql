{{ config(
    materialized='maintained',
    touched='int_identifier_batches_changed',
    touched_by=['batch_id'],
    touched_column='batch_id'
) }}

{% set touched = ref('int_identifier_batches_changed') %}
{% set by_delta = is_delta() %}
{% set rules = identity_rules() %}

with identifiers as (

    select * from {{ ref('stg_ingestion__identifiers') }}
    where {{ touched_only(by_delta, touched, ['batch_id'], touched_column='batch_id') }}

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
        end as refused_because,
        key_id,
        batch_id
    from identifiers

)

select * from checked
