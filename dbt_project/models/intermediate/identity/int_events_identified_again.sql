{#- events that came or went, or carry an identifier that is another person's by now -#}
{% set types = identity_rules().types %}

with events_with_identifiers as (

    select * from {{ ref('int_events_with_identifiers') }}

),

identifiers_moved as (

    select identifier_key
    from {{ ref('int_identifiers_resolved_changed') }}
    where coalesce(canonical_id, '') <> coalesce(former_canonical_id, '')

),

events_again as (

    select event_id from {{ ref('int_events_changed') }}
    {% for type in types if type.envelope or type.property %}
    union
    select event_id
    from events_with_identifiers
    where {{ is_touched('identifiers_moved', ['key_' ~ type.name]) }}
    {% endfor %}

)

select * from events_again
