-- Any add or update of a stranded batch that a denial forbids by now, also one that was closed: it is in the body.
select members.operation_number
from members
inner join denials
    on (
        denials.identifier_key = members.identifier_key
        or denials.canonical_id = members.canonical_id
    )
    and denials.channel in (:channel, '*')
where
    members.batch_id = :batch_id
    and members.lane <> 0
limit 1
