with suspicions as (

    select * from {{ ref('stg_ingestion__identity_suspicions') }}

),

identifiers as (

    select * from {{ ref('int_identifiers_checked') }}
    where refused_because is null

),

keys_suspected as (

    select from_key as identifier_key from suspicions
    union
    select to_key as identifier_key from suspicions

),

identifiers_suspected as (

    select
        identifiers.identifier_key,
        min(identifiers.identifier_type) as identifier_type
    from identifiers
    inner join keys_suspected
        on identifiers.identifier_key = keys_suspected.identifier_key
    group by identifiers.identifier_key

),

usable as (

    select
        suspicions.from_key,
        from_identifiers.identifier_type as from_type,
        suspicions.to_key,
        to_identifiers.identifier_type as to_type,
        suspicions.score,
        suspicions.agreement,
        suspicions.suspected_at
    from suspicions
    inner join identifiers_suspected as from_identifiers
        on suspicions.from_key = from_identifiers.identifier_key
    inner join identifiers_suspected as to_identifiers
        on suspicions.to_key = to_identifiers.identifier_key

)

select * from usable
