with sends as (

    select * from {{ ref('stg_sfmc__sends') }}

),

clicks as (

    select * from {{ ref('stg_sfmc__clicks') }}

),

identifiers as (

    select * from {{ ref('stg_ingestion__identifiers') }}
    where identifier_type = 'email' and is_valid

),

identifiers_resolved as (

    select * from {{ ref('int_identifiers_resolved') }}

),

-- opens are left out: mail clients open messages that nobody reads
contacts as (

    select
        raw_email,
        sent_at,
        cast(null as timestamp) as clicked_at
    from sends
    union all
    select
        raw_email,
        cast(null as timestamp) as sent_at,
        clicked_at
    from clicks

),

by_address as (

    select
        raw_email,
        count(sent_at) as send_count,
        count(clicked_at) as click_count,
        max(sent_at) as last_sent_at,
        max(clicked_at) as last_clicked_at
    from contacts
    group by raw_email

),

by_person as (

    select
        identifiers_resolved.canonical_id,
        sum(by_address.send_count) as send_count,
        sum(by_address.click_count) as click_count,
        max(by_address.last_sent_at) as last_sent_at,
        max(by_address.last_clicked_at) as last_clicked_at
    from by_address
    inner join identifiers
        on by_address.raw_email = identifiers.raw_value
    inner join identifiers_resolved
        on identifiers.identifier_key = identifiers_resolved.identifier_key
    group by identifiers_resolved.canonical_id

)

select * from by_person
