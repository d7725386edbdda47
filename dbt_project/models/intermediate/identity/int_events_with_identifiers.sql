with events as (

    select * from {{ ref('stg_events__events') }}

),

identifiers as (

    select * from {{ ref('stg_ingestion__identifiers') }}
    where is_valid

),

events_with_addresses as (

    select
        event_id,
        event_name,
        source_system,
        user_id,
        anonymous_id,
        -- most events carry no address: looking for the name is cheaper than parsing the JSON
        case
            when event_name = 'consent_changed' and properties like '%"email"%'
                then
                    case
                        when {{ json_text('properties', 'identifier_type') }} = 'email'
                            then {{ json_text('properties', 'identifier') }}
                    end
            when properties like '%"email"%' then {{ json_text('properties', 'email') }}
        end as raw_email,
        case
            when event_name = 'consent_changed' and properties like '%"phone"%'
                then
                    case
                        when {{ json_text('properties', 'identifier_type') }} = 'phone'
                            then {{ json_text('properties', 'identifier') }}
                    end
            when properties like '%"phone"%' then {{ json_text('properties', 'phone') }}
        end as raw_phone,
        occurred_at,
        received_at
    from events

),

keyed as (

    select
        events_with_addresses.event_id,
        events_with_addresses.event_name,
        events_with_addresses.source_system,
        user_ids.identifier_key as user_key,
        emails.identifier_key as email_key,
        phones.identifier_key as phone_key,
        anonymous_ids.identifier_key as anonymous_key,
        events_with_addresses.occurred_at,
        events_with_addresses.received_at
    from events_with_addresses
    left join identifiers as user_ids
        on
            events_with_addresses.user_id = user_ids.raw_value
            and user_ids.identifier_type = 'user_id'
    left join identifiers as emails
        on
            events_with_addresses.raw_email = emails.raw_value
            and emails.identifier_type = 'email'
    left join identifiers as phones
        on
            events_with_addresses.raw_phone = phones.raw_value
            and phones.identifier_type = 'phone'
    left join identifiers as anonymous_ids
        on
            events_with_addresses.anonymous_id = anonymous_ids.raw_value
            and anonymous_ids.identifier_type = 'anonymous_id'

)

select * from keyed
