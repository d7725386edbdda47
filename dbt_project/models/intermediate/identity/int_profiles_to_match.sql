with attributes as (

    select * from {{ ref('stg_sfmc__attributes') }}

),

legacy_files as (

    select * from {{ ref('stg_ingestion__legacy_files') }}
    where file_status = 'accepted'

),

identifiers as (

    select * from {{ ref('int_identifiers_checked') }}
    where refused_because is null

),

nodes as (

    select * from {{ ref('int_identity_nodes') }}

),

shared_identifiers as (

    select distinct identifier_key
    from {{ ref('int_identifiers_shared') }}

),

identifiers_unshared as (

    select identifiers.*
    from identifiers
    left join shared_identifiers
        on identifiers.identifier_key = shared_identifiers.identifier_key
    where shared_identifiers.identifier_key is null

),

files_loaded as (

    select
        file_sha256,
        min(loaded_at) as loaded_at
    from legacy_files
    group by file_sha256

),

-- blocked and shared identifiers are nobody's: nothing is suspected of such a subscriber key, and
-- such an address says nothing
profiles as (

    select
        nodes.identifier_key,
        attributes.row_id,
        attributes.first_name,
        attributes.last_name,
        attributes.birth_date,
        attributes.street,
        attributes.city,
        attributes.postal_code,
        attributes.country,
        attributes.raw_phone,
        emails.identifier_value as email,
        files_loaded.loaded_at
    from attributes
    inner join files_loaded
        on attributes.file_sha256 = files_loaded.file_sha256
    inner join identifiers_unshared as subscriber_keys
        on
            attributes.subscriber_key = subscriber_keys.raw_value
            and subscriber_keys.identifier_type = 'sfmc_subscriber_key'
    inner join nodes
        on subscriber_keys.identifier_key = nodes.identifier_key
    left join identifiers_unshared as emails
        on
            attributes.raw_email = emails.raw_value
            and emails.identifier_type = 'email'

),

-- the file has no dates: of several states of a profile the one loaded last counts
last_profiles as (

    {{ deduplicate('profiles', 'identifier_key', 'loaded_at desc, row_id') }}

),

profiles_to_match as (

    select
        identifier_key,
        first_name,
        last_name,
        birth_date,
        street,
        city,
        postal_code,
        country,
        raw_phone,
        email
    from last_profiles

)

select * from profiles_to_match
