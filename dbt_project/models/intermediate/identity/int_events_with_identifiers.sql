{% set types = identity_rules().types %}

with events as (

    select * from {{ ref('stg_events__events') }}

),

identifiers as (

    select * from {{ ref('int_identifiers_checked') }}
    where refused_because is null

),

events_with_values as (

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
        occurred_at,
        received_at
    from events

),

keyed as (

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
        events_with_values.occurred_at,
        events_with_values.received_at
    from events_with_values
    {% for type in types if type.envelope or type.property %}
    left join identifiers as {{ type.name }}_identifiers
        on
            events_with_values.raw_{{ type.name }} = {{ type.name }}_identifiers.raw_value
            and {{ type.name }}_identifiers.identifier_type = '{{ type.name }}'
    {% endfor %}

)

select * from keyed
