{{ config(
    materialized='maintained',
    touched='int_identifiers_touched',
    touched_by=['identifier_key']
) }}

{% set touched = ref('int_identifiers_touched') %}
{% set by_delta = is_delta() %}
{% set rules = identity_rules() %}
{% set limits = [] %}
{% for type in rules.types %}
{% for limit in type.per_identifier %}
{% do limits.append((type.name, limit)) %}
{% endfor %}
{% endfor %}

with edges as (

    select * from {{ ref('int_identity_edges') }}
    where
        tier <> 'operator'
        and score is null
        and {{ touched_only(by_delta, touched, ['from_key', 'to_key']) }}

),

seen_with as (

    select
        from_key as identifier_key,
        from_type as identifier_type,
        to_key as other_key,
        to_type as other_type,
        first_seen_at,
        last_seen_at
    from edges
    where {{ touched_only(by_delta, touched, ['from_key']) }}
    union all
    select
        to_key as identifier_key,
        to_type as identifier_type,
        from_key as other_key,
        from_type as other_type,
        first_seen_at,
        last_seen_at
    from edges
    where {{ touched_only(by_delta, touched, ['to_key']) }}

),

{% for identifier_type, limit in limits %}
-- {{ identifier_type }} seen with more than {{ limit.most }} {{ limit.type }}
{% if limit.within_days is none %}
limit_{{ loop.index }} as (

    select
        identifier_key,
        count(distinct other_key) as seen_count
    from seen_with
    where
        identifier_type = '{{ identifier_type }}'
        and other_type = '{{ limit.type }}'
    group by identifier_key
    having count(distinct other_key) > {{ limit.most }}

),
{% else %}
pairs_{{ loop.index }} as (

    select
        identifier_key,
        other_key,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from seen_with
    where
        identifier_type = '{{ identifier_type }}'
        and other_type = '{{ limit.type }}'
    group by identifier_key, other_key

),

-- how many were there at once: each counts from its first sighting until the window after its last
steps_{{ loop.index }} as (

    select
        identifier_key,
        first_seen_at as stepped_at,
        1 as step
    from pairs_{{ loop.index }}
    union all
    select
        identifier_key,
        last_seen_at + interval '{{ limit.within_days }}' day as stepped_at,
        -1 as step
    from pairs_{{ loop.index }}

),

counted_{{ loop.index }} as (

    select
        identifier_key,
        sum(step) over (
            partition by identifier_key
            order by stepped_at, step desc
            rows between unbounded preceding and current row
        ) as running_count
    from steps_{{ loop.index }}

),

limit_{{ loop.index }} as (

    select
        identifier_key,
        max(running_count) as seen_count
    from counted_{{ loop.index }}
    group by identifier_key
    having max(running_count) > {{ limit.most }}

),
{% endif %}
{% endfor %}

shared as (

    {% for identifier_type, limit in limits %}
    select
        identifier_key,
        '{{ identifier_type }}' as identifier_type,
        '{{ limit.type }}' as seen_with_type,
        cast(seen_count as bigint) as seen_count,
        cast({{ limit.most }} as bigint) as most,
        cast({{ limit.within_days if limit.within_days is not none else 'null' }} as bigint)
            as within_days
    from limit_{{ loop.index }}
    {% if not loop.last %}
    union all
    {% endif %}
    {% else %}
    select
        identifier_key,
        identifier_type,
        other_type as seen_with_type,
        cast(0 as bigint) as seen_count,
        cast(0 as bigint) as most,
        cast(null as bigint) as within_days
    from seen_with
    where 1 = 0
    {% endfor %}

)

select * from shared
