-- One row per key that the source wants at the destination, with its canonical payload.
-- {{ members }} are the source's rows, {{ members_table }} the name that the columns are known by; {{ key }},
-- {{ payload }} and {{ has_bad_value }} are expressions over the sync's mapped columns, {{ lives }} over a row says how
-- long its operation may wait.
create or replace temp table plan_desired as
with

{{ members_table }} as (

    {{ members }}

),

mapped as (

    select
        {{ members_table }}.canonical_id,
        {{ members_table }}.identifier_key,
        {{ key }} as destination_key,
        {{ payload }} as payload,
        {{ has_bad_value }} as has_bad_value,
        {{ lives }} as lives,
    from {{ members_table }}
    left join marts.profiles
        on profiles.canonical_id = {{ members_table }}.canonical_id

),

hashed as (

    select
        canonical_id,
        identifier_key,
        case when trim(destination_key) <> '' then destination_key end as destination_key,
        payload,
        md5(payload) as payload_hash,
        has_bad_value,
        lives,
    from mapped

),

repeated as (

    select destination_key
    from hashed
    where destination_key is not null
    group by destination_key
    having count(*) > 1

)

-- Nearly every key is there once, and asking only the keys which are not takes a third less than grouping whole rows.
select
    hashed.destination_key,
    hashed.canonical_id,
    hashed.identifier_key,
    hashed.payload,
    hashed.payload_hash,
    hashed.lives,
    1::bigint as row_count,
    case when hashed.has_bad_value then 'BAD_VALUE' end as invalid_code,
from hashed
anti join repeated
    on repeated.destination_key = hashed.destination_key
where hashed.destination_key is not null
union all
-- Two people with one key and the same payload are one row at the destination; with different payloads
-- there is no right answer, so the key is set apart.
select
    destination_key,
    min(canonical_id) as canonical_id,
    min(identifier_key) as identifier_key,
    min(payload) as payload,
    min(payload_hash) as payload_hash,
    min(lives) as lives,
    count(*) as row_count,
    case
        when destination_key is null then 'NULL_KEY'
        when bool_or(has_bad_value) then 'BAD_VALUE'
        when min(payload_hash) <> max(payload_hash) then 'DUPLICATE_KEY'
    end as invalid_code,
from hashed
where
    destination_key is null
    or destination_key in (select repeated.destination_key from repeated)
group by destination_key
