-- One row per row of the source, with its key at the destination and its canonical payload; plan_repeated.sql makes one row
-- per key of them.
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

)

select
    canonical_id,
    identifier_key,
    case when trim(destination_key) <> '' then destination_key end as destination_key,
    payload,
    md5(payload) as payload_hash,
    lives,
    1::bigint as row_count,
    case when has_bad_value then 'BAD_VALUE' end as invalid_code,
from mapped
