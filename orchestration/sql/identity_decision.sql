-- The decision that stands about two identifiers.
select
    decision,
    decided_by,
    decided_at,
    reason
from intermediate.int_identity_decisions
where
    from_key = $from_key
    and to_key = $to_key
