-- How the last build of identity went: in full and why, or by what changed and how much that was.
select
    begun.as_of,
    begun.is_full,
    begun.is_full_because,
    ended.build_id is not null as is_whole,
    (select count(*) from intermediate.int_identifiers_touched) as identifiers_touched,
    (select count(*) from intermediate.int_identifiers_resolved_again) as identifiers_resolved_again
from intermediate.int_identity_build_begun as begun
left join intermediate.int_identity_build_ended as ended
    on begun.build_id = ended.build_id
