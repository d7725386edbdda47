{% set identifier_columns = [
    ('user_key', 'user_id'),
    ('subscriber_key', 'sfmc_subscriber_key'),
    ('email_key', 'email'),
    ('phone_key', 'phone'),
    ('anonymous_key', 'anonymous_id'),
] %}
{% set pairs = [] %}
{% for from_column, from_type in identifier_columns %}
{% for to_column, to_type in identifier_columns[loop.index:] %}
{% do pairs.append((from_column, from_type, to_column, to_type)) %}
{% endfor %}
{% endfor %}

with observations as (

    select * from {{ ref('int_identity_observations_grouped') }}

),

-- every two identifiers that one observation carries are one person, says that observation
pairs as (

    {% for from_column, from_type, to_column, to_type in pairs %}
    select
        {{ from_column }} as from_key,
        '{{ from_type }}' as from_type,
        {{ to_column }} as to_key,
        '{{ to_type }}' as to_type,
        source_system,
        observation_count,
        evidence_id,
        first_seen_at,
        last_seen_at
    from observations
    where
        {{ from_column }} is not null
        and {{ to_column }} is not null
    {% if not loop.last %}
    union all
    {% endif %}
    {% endfor %}

),

edges as (

    select
        {{ dbt.hash("from_key || '>' || to_key || '>' || source_system") }} as identity_edge_id,
        from_key,
        from_type,
        to_key,
        to_type,
        source_system,
        sum(observation_count) as observation_count,
        min(evidence_id) as evidence_id,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from pairs
    group by
        from_key,
        from_type,
        to_key,
        to_type,
        source_system

)

select * from edges
