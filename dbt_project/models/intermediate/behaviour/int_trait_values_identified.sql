{% set traits = trait_rules().traits %}

with sign_ups as (

    select * from {{ ref('stg_events__sign_ups') }}

),

identifications as (

    select * from {{ ref('stg_events__identifications') }}

),

orders as (

    select * from {{ ref('stg_events__orders') }}

),

events_identified as (

    select * from {{ ref('int_events_identified') }}
    where canonical_id is not null

),

-- one row per value that a person gave for a trait
trait_values as (

    {% for trait in traits %}
    {% set is_last_trait = loop.last %}
    {% for source in trait.sources %}
    select
        event_id,
        '{{ trait.name }}' as trait,
        {{ source.column }} as trait_value
    from {{ source.model }}
    {% if not (loop.last and is_last_trait) %}
    union all
    {% endif %}
    {% endfor %}
    {% endfor %}

),

identified as (

    select
        events_identified.canonical_id,
        trait_values.trait,
        trait_values.trait_value,
        events_identified.source_system,
        trait_values.event_id,
        events_identified.occurred_at
    from trait_values
    inner join events_identified
        on trait_values.event_id = events_identified.event_id
    where
        trait_values.trait_value is not null
        and trim(trait_values.trait_value) <> ''

)

select * from identified
