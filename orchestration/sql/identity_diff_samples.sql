-- Some of the people who would be merged or split, each with her identifiers as they would be.
with pairs as (
    select
        coalesce(now_graph.identifier_key, then_graph.identifier_key) as identifier_key,
        coalesce(now_graph.identifier_type, then_graph.identifier_type)
        || ' ' || coalesce(now_graph.identifier_value, then_graph.identifier_value) as identifier,
        now_graph.canonical_id as now_id,
        then_graph.canonical_id as then_id
    from standing.marts.identity_graph as now_graph
    full join trial.marts.identity_graph as then_graph
        on now_graph.identifier_key = then_graph.identifier_key
),

merged as (
    select 'merge' as kind, then_id as place
    from pairs
    where now_id is not null and then_id is not null
    group by then_id
    having count(distinct now_id) > 1
    order by place
    limit $most
),

split as (
    select 'split' as kind, now_id as place
    from pairs
    where now_id is not null and then_id is not null
    group by now_id
    having count(distinct then_id) > 1
    order by place
    limit $most
),

sides as (
    select
        merged.kind,
        merged.place,
        pairs.now_id as side,
        pairs.identifier
    from merged
    inner join pairs on merged.place = pairs.then_id
    union all
    select
        split.kind,
        split.place,
        pairs.then_id as side,
        pairs.identifier
    from split
    inner join pairs on split.place = pairs.now_id
),

sides_listed as (
    select
        kind,
        place,
        side,
        string_agg(identifier, ', ' order by identifier) as identifiers
    from sides
    group by kind, place, side
)

select
    kind,
    place,
    string_agg(coalesce(identifiers, ''), '  |  ' order by identifiers) as sides
from sides_listed
group by kind, place
order by kind, place
