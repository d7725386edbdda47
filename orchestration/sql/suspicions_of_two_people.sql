-- How many of the pairs in `found` are two people by the last run; the others are one person already.
select count(*) as pairs
from found
inner join marts.identity_graph as from_people
    on found.from_key = from_people.identifier_key
inner join marts.identity_graph as to_people
    on found.to_key = to_people.identifier_key
where from_people.canonical_id <> to_people.canonical_id
