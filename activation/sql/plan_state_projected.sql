-- What the destination acknowledged, and what may not be planned now: operations whose answer is not known yet,
-- and payloads that the destination rejected for good under this very definition. {{ sync_name }} is a literal, because no
-- view takes a parameter; a table would be one more copy of everybody.
create or replace temp view plan_acknowledged as
select
    destination_key,
    canonical_id,
    identifier_key,
    payload_hash,
from activation.acknowledged
where sync_name = {{ sync_name }};

create or replace temp table plan_blocked as
select
    destination_key_hash,
    payload_hash,
    state <> 'rejected' as is_unsettled,
from activation.operations
where
    sync_name = $sync_name
    and (
        state in ('in_flight', 'accepted', 'in_doubt')
        or (state = 'rejected' and holds = 1 and superseded_at is null and definition_hash = $definition_hash)
    )
