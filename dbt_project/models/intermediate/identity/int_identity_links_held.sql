{{ config(
    materialized='maintained',
    touched='int_identifiers_resolved_again',
    touched_by=['from_key', 'to_key']
) }}

{% set touched = ref('int_identifiers_resolved_again') %}
{% set by_delta = is_delta() %}

{% set rules = identity_rules() %}
{% set decided_mark = "case when links.is_decided then '!' else '' end" %}

with links as (

    select * from {{ ref('int_identity_links') }}
    where {{ touched_only(by_delta, touched, ['from_key', 'to_key']) }}

),

ends as (

    select from_key as identifier_key from links
    union
    select to_key as identifier_key from links

),

components as (

    select * from {{ ref('int_identity_components') }}

),

nodes as (

    select * from {{ ref('int_identity_nodes') }}

),

components_of_ends as (

    select * from components
    where {{ touched_only(by_delta, 'ends', ['node']) }}

),

decisions as (

    select * from {{ ref('int_identity_decisions') }}
    where decision = 'keep_apart'

),

-- a link whose two ends are not one person was held: a rule is against it, or it is only suspected
held as (

    select
        {{ dbt.hash("links.from_key || '>' || links.to_key || " ~ decided_mark) }}
            as identity_link_id,
        links.from_key,
        links.to_key,
        links.tier_rank,
        links.is_suspected,
        links.score,
        links.first_seen_at,
        links.last_seen_at,
        from_components.component as from_component,
        to_components.component as to_component
    from links
    inner join components_of_ends as from_components
        on links.from_key = from_components.node
    inner join components_of_ends as to_components
        on links.to_key = to_components.node
    where from_components.component <> to_components.component

),

components_at_a_held_link as (

    select from_component as component from held
    union
    select to_component as component from held

),

sizes as (

    select
        components.component,
        {% for type in rules.types %}
        sum(case when nodes.identifier_type = '{{ type.name }}' then 1 else 0 end)
            as count_{{ type.name }},
        {% endfor %}
        count(*) as identifier_count
    from components_at_a_held_link
    inner join components
        on components_at_a_held_link.component = components.component
    inner join nodes
        on components.node = nodes.identifier_key
    group by components.component

),

kept_apart as (

    select distinct
        least(from_components.component, to_components.component) as from_component,
        greatest(from_components.component, to_components.component) as to_component
    from decisions
    inner join components as from_components
        on decisions.from_key = from_components.node
    inner join components as to_components
        on decisions.to_key = to_components.node

),

bridges as (

    select
        least(from_component, to_component) as from_component,
        greatest(from_component, to_component) as to_component,
        sum(case when tier_rank = 3 and not is_suspected then 1 else 0 end) as loose_link_count,
        min(case when not is_suspected then tier_rank end) as best_tier_rank
    from held
    group by
        least(from_component, to_component),
        greatest(from_component, to_component)

),

reasoned as (

    select
        held.identity_link_id,
        held.from_key,
        held.to_key,
        held.from_component,
        held.to_component,
        {{ tier_name('held.tier_rank') }} as tier,
        case
            when kept_apart.from_component is not null then 'kept_apart'
            when held.is_suspected then 'suspected'
            {% for type in rules.types if type.most is not none %}
            when
                held.tier_rank > 0
                and from_sizes.count_{{ type.name }} > 0
                and to_sizes.count_{{ type.name }} > 0
                and from_sizes.count_{{ type.name }} + to_sizes.count_{{ type.name }}
                > {{ type.most }}
                then 'too_many_{{ type.name }}'
            {% endfor %}
            when
                from_sizes.identifier_count + to_sizes.identifier_count
                > {{ rules.guards.most_identifiers }}
                then 'component_size'
            when
                bridges.best_tier_rank = 3
                and bridges.loose_link_count < {{ rules.guards.least_loose_links }}
                and from_sizes.identifier_count > 1
                and to_sizes.identifier_count > 1
                then 'weak_bridge'
            -- of a component that was too large or too tangled as a whole
            else 'undecided'
        end as reason,
        cast(from_sizes.identifier_count as bigint) as from_identifier_count,
        cast(to_sizes.identifier_count as bigint) as to_identifier_count,
        held.score,
        held.first_seen_at,
        held.last_seen_at
    from held
    inner join sizes as from_sizes
        on held.from_component = from_sizes.component
    inner join sizes as to_sizes
        on held.to_component = to_sizes.component
    inner join bridges
        on
            least(held.from_component, held.to_component) = bridges.from_component
            and greatest(held.from_component, held.to_component) = bridges.to_component
    left join kept_apart
        on
            least(held.from_component, held.to_component) = kept_apart.from_component
            and greatest(held.from_component, held.to_component) = kept_apart.to_component
    -- an operator has answered a suspicion between two people that are kept apart
    where not held.is_suspected or kept_apart.from_component is null

)

select * from reasoned
