{#- what came and what went since the last build; nothing in a full one -#}
{%- set types = identity_rules().types -%}
{%- set former_subscribers = identity_table('int_sfmc_subscribers_with_identifiers') -%}
-- depends_on: {{ ref('int_identity_build_begun') }}
{% set by_delta = is_delta() %}

with subscribers as (

    select * from {{ ref('stg_sfmc__subscribers') }}
    where {{ '1 = 1' if by_delta else '1 = 0' }}

),

identifiers as (

    select * from {{ ref('int_identifiers_checked') }}
    where refused_because is null

),

subscribers_before as (

    {% if by_delta %}
    select * from {{ former_subscribers }}
    {% else %}
    {{ sfmc_subscribers_keyed(types, 'subscribers', 'identifiers') }}
    {% endif %}

),

-- a row is known by its content: it comes or goes and never changes
subscribers_new as (

    select * from subscribers
    where not {{ is_touched('subscribers_before', ['row_id'], touched_column='row_id') }}

),

changed as (

    select
        keyed.*,
        false as is_removed
    from (
        {{ sfmc_subscribers_keyed(types, 'subscribers_new', 'identifiers') }}
    ) as keyed
    union all
    select
        subscribers_before.*,
        true as is_removed
    from subscribers_before
    where not {{ is_touched('subscribers', ['row_id'], touched_column='row_id') }}

)

select * from changed
