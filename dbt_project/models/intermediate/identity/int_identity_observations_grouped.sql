{% set types = identity_rules().types %}

with events_with_identifiers as (

    select * from {{ ref('int_events_with_identifiers') }}

),

sfmc_subscribers as (

    select * from {{ ref('stg_sfmc__subscribers') }}

),

identifiers as (

    select * from {{ ref('int_identifiers_checked') }}
    where refused_because is null

),

-- the legacy cloud states, in one row, that a subscriber key and an address are one person
sfmc_observations as (

    select
        'sfmc' as source_system,
        {% for type in types %}
        {% if type.name == 'sfmc_subscriber_key' %}
        subscriber_keys.identifier_key as key_{{ type.name }},
        {% elif type.name == 'email' %}
        emails.identifier_key as key_{{ type.name }},
        {% elif type.name == 'user_id' %}
        user_ids.identifier_key as key_{{ type.name }},
        {% else %}
        cast(null as {{ dbt.type_string() }}) as key_{{ type.name }},
        {% endif %}
        {% endfor %}
        sfmc_subscribers.row_id as observation_id,
        sfmc_subscribers.created_at as observed_at
    from sfmc_subscribers
    left join identifiers as subscriber_keys
        on
            sfmc_subscribers.subscriber_key = subscriber_keys.raw_value
            and subscriber_keys.identifier_type = 'sfmc_subscriber_key'
    left join identifiers as emails
        on
            sfmc_subscribers.raw_email = emails.raw_value
            and emails.identifier_type = 'email'
    -- the cloud was keyed by our own customer id where it knew one
    left join identifiers as user_ids
        on
            sfmc_subscribers.subscriber_key = user_ids.raw_value
            and user_ids.identifier_type = 'user_id'

),

event_observations as (

    select
        source_system,
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        event_id as observation_id,
        occurred_at as observed_at
    from events_with_identifiers

),

observations as (

    select * from event_observations
    union all
    select * from sfmc_observations

),

grouped as (

    select
        source_system,
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        count(*) as observation_count,
        min(observation_id) as evidence_id,
        min(observed_at) as first_seen_at,
        max(observed_at) as last_seen_at
    from observations
    group by
        {% for type in types %}
        key_{{ type.name }},
        {% endfor %}
        source_system

)

select * from grouped
