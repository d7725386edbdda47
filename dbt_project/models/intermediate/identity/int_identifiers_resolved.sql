{{ config(
    materialized='maintained',
    touched='int_identifiers_named_again',
    touched_by=['identifier_key']
) }}

{% set changes = ref('int_identifiers_resolved_changed') %}
-- depends_on: {{ ref('int_identifiers_named_again') }}
{% set by_delta = is_delta() %}

with components as (

    select * from {{ ref('int_identity_components') }}

),

components_named as (

    select * from {{ ref('int_identity_components_named') }}

),

nodes as (

    select * from {{ ref('int_identity_nodes') }}

),

{% if by_delta %}
resolved as (

    select
        canonical_id,
        identifier_key,
        identifier_type,
        identifier_value,
        identity_tier
    from {{ changes }}
    where canonical_id is not null

)
{% else %}
resolved as (

    {{ identifiers_resolved() }}

)
{% endif %}

select * from resolved
