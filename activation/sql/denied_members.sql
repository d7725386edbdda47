-- Any add or update of a stranded batch that a denial forbids by now, also one that was closed: it is in the body.
select operations.operation_number
from operations
inner join denials
    on (
        denials.identifier_key = operations.identifier_key
        or denials.canonical_id = operations.canonical_id
    )
    and denials.channel in (:channel, '*')
where
    operations.batch_id = :batch_id
    and operations.lane <> 0
limit 1
