-- For each identifier whose company changes: who it is with now and who it would be with. `standing` is this
-- warehouse, `trial` the one built by the new rules. A person is compared by her identifiers, never by her id.
with pairs as (
    select
        coalesce(now_graph.identifier_key, then_graph.identifier_key) as identifier_key,
        now_graph.canonical_id as now_id,
        then_graph.canonical_id as then_id
    from standing.marts.identity_graph as now_graph
    full join trial.marts.identity_graph as then_graph
        on now_graph.identifier_key = then_graph.identifier_key
),

merged as (
    select then_id
    from pairs
    where now_id is not null and then_id is not null
    group by then_id
    having count(distinct now_id) > 1
),

split as (
    select now_id
    from pairs
    where now_id is not null and then_id is not null
    group by now_id
    having count(distinct then_id) > 1
)

select
    (select count(distinct now_id) from pairs) as people_now,
    (select count(distinct then_id) from pairs) as people_then,
    (select count(*) from merged) as merges,
    (
        select count(distinct pairs.now_id)
        from pairs
        inner join merged on pairs.then_id = merged.then_id
    ) as people_merged,
    (select count(*) from split) as splits,
    (select count(*) from pairs where now_id is null) as identifiers_that_join,
    (select count(*) from pairs where then_id is null) as identifiers_that_leave
