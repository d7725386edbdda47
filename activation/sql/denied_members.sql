-- Any add or update of a stranded batch that a denial forbids by now.
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
    and operations.state in ('in_flight', 'in_doubt')
limit 1
