-- How many people have so many identifiers.
with sizes as (
    select
        canonical_id,
        count(*) as identifier_count
    from marts.identity_graph
    group by canonical_id
)

select
    case
        when identifier_count = 1 then '1'
        when identifier_count <= 5 then '2 to 5'
        when identifier_count <= 20 then '6 to 20'
        when identifier_count <= 100 then '21 to 100'
        else 'over 100'
    end as identifiers,
    count(*) as people,
    max(identifier_count) as largest
from sizes
group by all
order by largest
