with consent_events as (

    select * from {{ ref('int_consent_events') }}

),

classified as (

    select
        consent_event_id,
        identifier_key,
        identifier_type,
        channel,
        purpose,
        source_system,
        source_record,
        consent_changed_at,
        case
            when consent_status = 'withdrawn' then 'withdrawn'
            when consent_status = 'pending_doi' then 'pending_double_opt_in'
            when legal_basis = 'legacy_import' then 'legacy_active'
            else 'granted'
        end as statement,
        -- only what the person did herself can lift a withdrawal; an agent or an import cannot
        capture_method in ('form', 'preference_center', 'double_opt_in') as is_own_act
    from consent_events

),

latest_by_statement as (

    select
        identifier_key,
        identifier_type,
        channel,
        purpose,
        max(case when statement = 'withdrawn' then consent_changed_at end) as last_withdrawn_at,
        max(case when statement = 'granted' and is_own_act then consent_changed_at end)
            as last_own_grant_at,
        max(case when statement = 'granted' then consent_changed_at end) as last_granted_at,
        max(case when statement = 'pending_double_opt_in' then consent_changed_at end)
            as last_pending_at,
        max(case when statement = 'legacy_active' then consent_changed_at end)
            as last_legacy_active_at,
        count(*) as consent_event_count
    from classified
    group by identifier_key, identifier_type, channel, purpose

),

-- at the same moment the restrictive statement wins, so every comparison below includes equality
states as (

    select
        identifier_key,
        identifier_type,
        channel,
        purpose,
        consent_event_count,
        case
            when
                last_withdrawn_at is not null
                and (last_own_grant_at is null or last_withdrawn_at >= last_own_grant_at)
                then 'withdrawn'
            when
                last_pending_at is not null
                and (last_granted_at is null or last_pending_at >= last_granted_at)
                then 'pending_double_opt_in'
            when last_granted_at is not null then 'granted'
            when last_legacy_active_at is not null then 'legacy_active'
            else 'unknown'
        end as consent_status,
        last_withdrawn_at,
        last_granted_at,
        last_pending_at,
        last_legacy_active_at
    from latest_by_statement

),

deciding_events as (

    select
        states.identifier_key,
        states.identifier_type,
        states.channel,
        states.purpose,
        states.consent_status,
        states.consent_event_count,
        classified.consent_event_id,
        classified.consent_changed_at,
        classified.source_system,
        classified.source_record
    from states
    inner join classified
        on
            states.identifier_key = classified.identifier_key
            and states.channel = classified.channel
            and states.purpose = classified.purpose
            and states.consent_status = classified.statement

),

derived as (

    {{ deduplicate(
        'deciding_events',
        'identifier_key, channel, purpose',
        'consent_changed_at desc, consent_event_id',
    ) }}

)

select
    identifier_key,
    identifier_type,
    channel,
    purpose,
    consent_status,
    consent_event_id,
    source_system,
    source_record,
    consent_event_count,
    consent_changed_at
from derived
