-- Nearly every key is there once, and its row stands as it was written: only the others are put right here.
-- Two people with one key and the same payload are one row at the destination. With different payloads
-- there is no right answer, so the key is set apart.
create or replace temp table plan_repeated as
select destination_key
from plan_desired
where destination_key is not null
group by destination_key
having count(*) > 1;

create or replace temp table plan_regrouped as
select
    min(canonical_id) as canonical_id,
    min(identifier_key) as identifier_key,
    destination_key,
    min(payload) as payload,
    min(payload_hash) as payload_hash,
    min(lives) as lives,
    count(*) as row_count,
    case
        when destination_key is null then 'NULL_KEY'
        when bool_or(invalid_code is not null) then 'BAD_VALUE'
        when min(payload_hash) <> max(payload_hash) then 'DUPLICATE_KEY'
    end as invalid_code,
from plan_desired
where
    destination_key is null
    or destination_key in (select plan_repeated.destination_key from plan_repeated)
group by destination_key;

delete from plan_desired
where
    destination_key is null
    or destination_key in (select plan_repeated.destination_key from plan_repeated);

insert into plan_desired by name
select *
from plan_regrouped
