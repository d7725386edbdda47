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

    select
        event_id,
        'country_code' as trait,
        country_code as trait_value
    from sign_ups
    union all
    select
        event_id,
        'first_name' as trait,
        first_name as trait_value
    from sign_ups
    union all
    select
        event_id,
        'last_name' as trait,
        last_name as trait_value
    from sign_ups
    union all
    select
        event_id,
        'country_code' as trait,
        country_code as trait_value
    from identifications
    union all
    select
        event_id,
        'first_name' as trait,
        first_name as trait_value
    from identifications
    union all
    select
        event_id,
        'last_name' as trait,
        last_name as trait_value
    from identifications
    union all
    select
        event_id,
        'country_code' as trait,
        country_code as trait_value
    from orders

),

trait_values_identified as (

    select
        events_identified.canonical_id,
        trait_values.trait,
        trait_values.trait_value,
        trait_values.event_id,
        events_identified.occurred_at
    from trait_values
    inner join events_identified
        on trait_values.event_id = events_identified.event_id
    where
        trait_values.trait_value is not null
        and trim(trait_values.trait_value) <> ''

),

latest as (

    {{ deduplicate(
        'trait_values_identified', 'canonical_id, trait', 'occurred_at desc, event_id desc'
    ) }}

),

one_row_per_person as (

    select
        canonical_id,
        max(case when trait = 'country_code' then trait_value end) as country_code,
        max(case when trait = 'first_name' then trait_value end) as first_name,
        max(case when trait = 'last_name' then trait_value end) as last_name
    from latest
    group by canonical_id

)

select * from one_row_per_person
