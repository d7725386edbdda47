{{ config(
    materialized='maintained',
    touched='int_sfmc_subscribers_changed',
    touched_by=['row_id'],
    touched_column='row_id'
) }}

{% set types = identity_rules().types %}

with subscribers_changed as (

    select * from {{ ref('int_sfmc_subscribers_changed') }}
    where not is_removed

),

subscribers as (

    select * from {{ ref('stg_sfmc__subscribers') }}

),

identifiers as (

    select * from {{ ref('int_identifiers_checked') }}
    where refused_because is null

),

{% if is_delta() %}
keyed as (

    select
        row_id,
        source_system,
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        observed_at
    from subscribers_changed

)
{% else %}
keyed as (

    {{ sfmc_subscribers_keyed(types, 'subscribers', 'identifiers') }}

)
{% endif %}

select * from keyed
