{% set rules = trait_rules() %}

with trait_values as (

    select * from {{ ref('int_trait_values_identified') }}

),

given as (

    select
        canonical_id,
        trait,
        trait_value,
        count(*) as given_count
    from trait_values
    group by canonical_id, trait, trait_value

),

distinct_values as (

    select
        canonical_id,
        trait,
        count(*) as value_count
    from given
    group by canonical_id, trait

),

weighed as (

    select
        trait_values.canonical_id,
        trait_values.trait,
        trait_values.trait_value,
        trait_values.source_system,
        trait_values.event_id,
        trait_values.occurred_at,
        given.given_count,
        distinct_values.value_count,
        -- the smaller goes first
        case trait_values.trait
            {% for trait in rules.traits %}
            when '{{ trait.name }}' then {{ survivor_weight(rules, trait.survivor) }}
            {% endfor %}
        end as weight,
        case trait_values.trait
            {% for trait in rules.traits %}
            when '{{ trait.name }}' then '{{ trait.survivor }}'
            {% endfor %}
        end as survivor_rule
    from trait_values
    inner join given
        on
            trait_values.canonical_id = given.canonical_id
            and trait_values.trait = given.trait
            and trait_values.trait_value = given.trait_value
    inner join distinct_values
        on
            trait_values.canonical_id = distinct_values.canonical_id
            and trait_values.trait = distinct_values.trait

),

survivors as (

    {{ deduplicate(
        'weighed', 'canonical_id, trait', 'weight, occurred_at desc, event_id desc'
    ) }}

),

chosen as (

    select
        canonical_id,
        trait,
        trait_value,
        source_system,
        event_id,
        occurred_at as given_at,
        survivor_rule,
        cast(given_count as bigint) as given_count,
        cast(value_count as bigint) as value_count
    from survivors

)

select * from chosen
