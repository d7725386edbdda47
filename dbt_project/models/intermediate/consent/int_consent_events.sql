with consent_changes as (

    select * from {{ ref('stg_events__consent_changes') }}

),

sfmc_unsubscribes as (

    select * from {{ ref('stg_sfmc__unsubscribes') }}

),

sfmc_subscribers as (

    select * from {{ ref('stg_sfmc__subscribers') }}

),

identifiers as (

    select * from {{ ref('stg_ingestion__identifiers') }}
    where is_valid

),

identifiers_resolved as (

    select * from {{ ref('int_identifiers_resolved') }}

),

events_identified as (

    select * from {{ ref('int_events_identified') }}

),

channels as (

    select * from {{ ref('channels') }}

),

changes_with_address as (

    select
        consent_changes.event_id,
        consent_changes.channel,
        consent_changes.purpose,
        consent_changes.consent_status,
        consent_changes.capture_method,
        consent_changes.policy_version,
        consent_changes.source_system,
        consent_changes.consent_changed_at,
        consent_changes.received_at,
        channels.identifier_type,
        events_identified.canonical_id,
        identifiers.identifier_key
    from consent_changes
    inner join channels
        on consent_changes.channel = channels.channel
    inner join events_identified
        on consent_changes.event_id = events_identified.event_id
    left join identifiers
        on
            consent_changes.raw_identifier = identifiers.raw_value
            and consent_changes.identifier_type = identifiers.identifier_type
            and channels.identifier_type = identifiers.identifier_type

),

changes_of_one_address as (

    select
        event_id,
        identifier_key,
        identifier_type,
        channel,
        purpose,
        consent_status,
        capture_method,
        policy_version,
        source_system,
        consent_changed_at,
        received_at
    from changes_with_address
    where identifier_key is not null

),

-- a withdrawal that names no readable address covers every address of the person, a grant none
withdrawals_of_every_address as (

    select
        changes_with_address.event_id,
        identifiers_resolved.identifier_key,
        changes_with_address.identifier_type,
        changes_with_address.channel,
        changes_with_address.purpose,
        changes_with_address.consent_status,
        changes_with_address.capture_method,
        changes_with_address.policy_version,
        changes_with_address.source_system,
        changes_with_address.consent_changed_at,
        changes_with_address.received_at
    from changes_with_address
    inner join identifiers_resolved
        on
            changes_with_address.canonical_id = identifiers_resolved.canonical_id
            and changes_with_address.identifier_type = identifiers_resolved.identifier_type
    where
        changes_with_address.identifier_key is null
        and changes_with_address.consent_status = 'withdrawn'

),

changes as (

    select * from changes_of_one_address
    union all
    select * from withdrawals_of_every_address

),

sfmc_statements as (

    select
        row_id,
        raw_email,
        'withdrawn' as consent_status,
        'import' as legal_basis,
        unsubscribed_at as stated_at
    from sfmc_unsubscribes
    union all
    select
        row_id,
        raw_email,
        'withdrawn' as consent_status,
        'import' as legal_basis,
        unsubscribed_at as stated_at
    from sfmc_subscribers
    where subscriber_status = 'Unsubscribed'
    union all
    -- the cloud would have mailed this subscriber, but kept no proof of why
    select
        row_id,
        raw_email,
        'granted' as consent_status,
        'legacy_import' as legal_basis,
        created_at as stated_at
    from sfmc_subscribers
    where subscriber_status in ('Active', 'Bounced')

),

-- one address under several subscriber keys: a statement about one key holds for the address
sfmc_changes as (

    select
        sfmc_statements.row_id,
        identifiers.identifier_key,
        identifiers.identifier_type,
        sfmc_statements.consent_status,
        sfmc_statements.legal_basis,
        sfmc_statements.stated_at
    from sfmc_statements
    inner join identifiers
        on
            sfmc_statements.raw_email = identifiers.raw_value
            and identifiers.identifier_type = 'email'

),

consent_events as (

    select
        {{ dbt.hash("event_id || '>' || identifier_key") }} as consent_event_id,
        identifier_key,
        identifier_type,
        channel,
        purpose,
        consent_status,
        capture_method,
        case when consent_status = 'withdrawn' then 'withdrawal' else 'express_consent' end
            as legal_basis,
        source_system,
        event_id as source_record,
        policy_version,
        consent_changed_at,
        received_at as recorded_at
    from changes
    union all
    select
        {{ dbt.hash("row_id || '>' || identifier_key || '>' || consent_status") }}
            as consent_event_id,
        identifier_key,
        identifier_type,
        'email' as channel,
        'marketing' as purpose,
        consent_status,
        'import' as capture_method,
        case when consent_status = 'withdrawn' then 'withdrawal' else 'legacy_import' end
            as legal_basis,
        'sfmc' as source_system,
        row_id as source_record,
        cast(null as {{ dbt.type_string() }}) as policy_version,
        -- without a time, a withdrawal counts as the latest word and a grant as the earliest
        coalesce(
            stated_at,
            case
                when consent_status = 'withdrawn' then cast('9999-12-31 00:00:00' as timestamp)
                else cast('1900-01-01 00:00:00' as timestamp)
            end
        ) as consent_changed_at,
        coalesce(stated_at, {{ as_of() }}) as recorded_at
    from sfmc_changes

)

select * from consent_events
