{#- what came and what went since the last build; nothing in a full one -#}
{%- set types = identity_rules().types -%}
-- depends_on: {{ ref('int_identity_build_begun') }}
{% set by_delta = is_delta() %}
{% set former_subscribers = identity_table('int_sfmc_subscribers_with_identifiers') %}
{% set is_known =
    is_touched(former_subscribers, ['row_id'], touched_column='row_id') if by_delta else '1 = 0' %}

with subscribers as (

    select * from {{ ref('stg_sfmc__subscribers') }}
    where {{ '1 = 1' if by_delta else '1 = 0' }}

),

-- a row is known by its content: it comes or goes and never changes
subscribers_new as (

    select * from subscribers
    where not {{ is_known }}

),

raw_values as (

    select subscriber_key as raw_value from subscribers_new
    union
    select raw_email as raw_value from subscribers_new

),

identifiers as (

    select * from {{ ref('int_identifiers_checked') }}
    where
        refused_because is null
        and {{ is_touched('raw_values', ['raw_value'], touched_column='raw_value') }}

),

subscribers_keyed as (

    {{ sfmc_subscribers_keyed(types, 'subscribers_new', 'identifiers') }}

),

subscribers_gone as (

    select *
    from {{ former_subscribers if by_delta else 'subscribers_keyed' }}
    where not {{ is_touched('subscribers', ['row_id'], touched_column='row_id') }}

),

changed as (

    select
        subscribers_keyed.*,
        false as is_removed
    from subscribers_keyed
    union all
    select
        subscribers_gone.*,
        true as is_removed
    from subscribers_gone

)

select * from changed
