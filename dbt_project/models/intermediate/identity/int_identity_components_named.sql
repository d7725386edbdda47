{{ config(
    materialized='maintained',
    touched='int_identifiers_named_again',
    touched_by=['component']
) }}

{% set touched = ref('int_identifiers_named_again') %}
{% set by_delta = is_delta() %}

{% set moment_text = 'cast(' ~ as_of() ~ ' as ' ~ dbt.type_string() ~ ')' %}

with components as (

    select * from {{ ref('int_identity_components') }}

),

nodes as (

    select * from {{ ref('int_identity_nodes') }}

),

ids_placed as (

    select * from {{ ref('int_identity_ids_placed') }}

),

founders as (

    select
        components.component,
        nodes.received_at as founder_received_at
    from components
    inner join nodes
        on components.component = nodes.identifier_key
    where
        components.node = components.component
        and {{ touched_only(by_delta, touched, ['components.component']) }}

),

-- of several published ids in one component the one of the identifier received first stands; of two
-- received at one moment, the one that was published first
standing_ids as (

    {{ deduplicate(
        '(select * from ids_placed where component in (select component from founders)) as ids_somewhere',
        'component',
        'anchor_received_at, first_published_in, canonical_id'
    ) }}

),

named as (

    select
        founders.component,
        coalesce(
            standing_ids.canonical_id,
            case
                when taken_ids.canonical_id is null
                    then {{ person_id('founders.component') }}
                -- its identifier named somebody once, who lives on under that id without it
                else {{ person_id("founders.component || '@' || " ~ moment_text) }}
            end
        ) as canonical_id,
        coalesce(standing_ids.is_anchor_gone, true) as is_new_anchor,
        case
            when standing_ids.canonical_id is null or standing_ids.is_anchor_gone
                then founders.component
            else standing_ids.anchor_key
        end as anchor_key,
        coalesce(standing_ids.anchor_received_at, founders.founder_received_at)
            as anchor_received_at
    from founders
    left join standing_ids
        on founders.component = standing_ids.component
    left join ids_placed as taken_ids
        on {{ person_id('founders.component') }} = taken_ids.canonical_id

)

select * from named
