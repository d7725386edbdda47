{#- identifiers that are named again, and whose they were; none in a full build -#}
{% set by_delta = is_delta() %}
{% set named_again = ref('int_identifiers_named_again') %}

with components as (

    select * from {{ ref('int_identity_components') }}

),

components_named as (

    select * from {{ ref('int_identity_components_named') }}

),

nodes as (

    select * from {{ ref('int_identity_nodes') }}

),

resolved as (

    {{ identifiers_resolved() }}
    where {{ is_touched(named_again, ['components.node']) }}

),

resolved_before as (

    {% if by_delta %}
    select * from {{ identity_table('int_identifiers_resolved') }}
    where {{ is_touched(named_again, ['identifier_key']) }}
    {% else %}
    select * from resolved
    where 1 = 0
    {% endif %}

),

changed as (

    select
        coalesce(resolved.identifier_key, resolved_before.identifier_key) as identifier_key,
        resolved.canonical_id,
        resolved.identifier_type,
        resolved.identifier_value,
        resolved.identity_tier,
        resolved_before.canonical_id as former_canonical_id
    from resolved
    full join resolved_before
        on resolved.identifier_key = resolved_before.identifier_key

)

select * from changed
