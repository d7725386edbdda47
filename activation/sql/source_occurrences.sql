-- The rows of a source of people, each with its person's occurrence key: the one that was acknowledged under any id
-- that she ever had, else the id that was published first for her. So a merge makes no new occurrence.
select
    source_rows.*,
    coalesce(known.destination_key, identity_first_ids.first_canonical_id) as occurrence_key
from ({{ rows }}) as source_rows
left join (
    select
        identity_redirects.current_canonical_id,
        min(plan_acknowledged.destination_key) as destination_key
    from plan_acknowledged
    inner join marts.identity_redirects
        on identity_redirects.canonical_id = plan_acknowledged.destination_key
    group by identity_redirects.current_canonical_id
) as known
    on known.current_canonical_id = source_rows.canonical_id
left join marts.identity_first_ids
    on identity_first_ids.canonical_id = source_rows.canonical_id
