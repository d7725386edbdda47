-- What each of the last builds changed, newest first.
with moments as (
    select distinct assigned_at as changed_at
    from intermediate.int_identity_assignments
    order by changed_at desc
    limit $most
),

new_people as (
    select
        assigned_at as changed_at,
        count(*) as people
    from intermediate.int_identity_assignments
    where is_anchor
    group by assigned_at
)

select
    moments.changed_at,
    coalesce(new_people.people, 0) as new_people,
    count(*) filter (where changes.change_type = 'join') as joins,
    count(*) filter (where changes.change_type = 'merge') as merges,
    count(*) filter (where changes.change_type = 'split') as splits,
    count(*) filter (where changes.change_type = 'leave') as leaves,
    count(*) filter (where changes.change_type = 'hold') as holds,
    count(*) filter (where changes.change_type = 'release') as releases
from moments
left join new_people
    on moments.changed_at = new_people.changed_at
left join marts.identity_changes as changes
    on moments.changed_at = changes.changed_at
group by all
order by moments.changed_at desc
