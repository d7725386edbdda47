{# Events with the raw value of each identifier they carry, as a query; `events` has the columns of stg_events__events. #}
{% macro events_with_raw_values(types, events) -%}
    select
        event_id,
        event_name,
        source_system,
        {% for type in types if type.envelope %}
        {{ type.envelope }} as raw_{{ type.name }},
        {% endfor %}
        -- most events carry no address: looking for the name is cheaper than parsing the JSON
        {% for type in types if type.property %}
        case
            when event_name = 'consent_changed' and properties like '%"{{ type.name }}"%'
                then
                    case
                        when {{ json_text('properties', 'identifier_type') }} = '{{ type.name }}'
                            then {{ json_text('properties', 'identifier') }}
                    end
            when properties like '%"{{ type.property }}"%'
                then {{ json_text('properties', type.property) }}
        end as raw_{{ type.name }},
        {% endfor %}
        batch_id,
        line,
        occurred_at,
        received_at
    from {{ events }}
{%- endmacro %}

{# The raw values of identifiers that such events carry, each once, as a query. #}
{% macro raw_values_of(types, events_with_values) -%}
    {% for type in types if type.envelope or type.property %}
    select raw_{{ type.name }} as raw_value from {{ events_with_values }}
    {% if not loop.last %}
    union
    {% endif %}
    {% endfor %}
{%- endmacro %}

{#
  Events with the keyed hash of each identifier they carry, as a query. `events_with_values` is the name of a CTE of
  `events_with_raw_values`, `identifiers` of one with the usable rows of int_identifiers_checked.
#}
{% macro events_keyed(types, events_with_values, identifiers) -%}
    select
        events_with_values.event_id,
        events_with_values.event_name,
        events_with_values.source_system,
        {% for type in types %}
        {% if type.envelope or type.property %}
        {{ type.name }}_identifiers.identifier_key as key_{{ type.name }},
        {% else %}
        cast(null as {{ dbt.type_string() }}) as key_{{ type.name }},
        {% endif %}
        {% endfor %}
        events_with_values.batch_id,
        events_with_values.line,
        events_with_values.occurred_at,
        events_with_values.received_at
    from {{ events_with_values }} as events_with_values
    {% for type in types if type.envelope or type.property %}
    left join {{ identifiers }} as {{ type.name }}_identifiers
        on
            events_with_values.raw_{{ type.name }} = {{ type.name }}_identifiers.raw_value
            and {{ type.name }}_identifiers.identifier_type = '{{ type.name }}'
    {% endfor %}
{%- endmacro %}

{# The legacy cloud states, in one row, that a subscriber key and an address are one person. #}
{% macro sfmc_subscribers_keyed(types, subscribers, identifiers) -%}
    select
        subscribers.row_id,
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
        subscribers.created_at as observed_at
    from {{ subscribers }} as subscribers
    left join {{ identifiers }} as subscriber_keys
        on
            subscribers.subscriber_key = subscriber_keys.raw_value
            and subscriber_keys.identifier_type = 'sfmc_subscriber_key'
    left join {{ identifiers }} as emails
        on
            subscribers.raw_email = emails.raw_value
            and emails.identifier_type = 'email'
    -- the cloud was keyed by our own customer id where it knew one
    left join {{ identifiers }} as user_ids
        on
            subscribers.subscriber_key = user_ids.raw_value
            and user_ids.identifier_type = 'user_id'
{%- endmacro %}

{# A name for the identifiers that one observation carries, all of them together, and its source. #}
{% macro observation_group_id(types) -%}
    {%- set parts = ['source_system'] -%}
    {%- for type in types -%}{%- do parts.append("coalesce(key_" ~ type.name ~ ", '')") -%}{%- endfor -%}
    {{ return(dbt.hash(parts | join(" || '>' || "))) }}
{%- endmacro %}

{# Whose an identifier is: from the CTEs `components`, `components_named` and `nodes`. #}
{% macro identifiers_resolved() -%}
    select
        components_named.canonical_id,
        nodes.identifier_key,
        nodes.identifier_type,
        nodes.identifier_value,
        components.tier as identity_tier
    from components
    inner join components_named
        on components.component = components_named.component
    inner join nodes
        on components.node = nodes.identifier_key
{%- endmacro %}
