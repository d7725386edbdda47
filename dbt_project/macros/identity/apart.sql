{#
  Takes apart the components that break a rule; the others are not looked at. Returns a relation (node_id, exact_id,
  strict_id, loose_id) for the nodes of those components, or none when every component keeps the rules.

  1. A component of more identifiers than `most_identifiers` is taken back to the longest run of its links, strongest
     first, under which no part of it has more. Later links are held.
  2. Links join strongest first: an operator's word (newest first), exact, strict (each earliest first, then by hash).
     A link that would give a person more of a type than `per_person` allows, or bring together what an operator
     keeps apart, is held. An operator's word is not held by `per_person`.
  3. Between two such persons of more than one identifier, fewer loose links than `least_loose_links` are held.
  4. The other loose links join like those of step 2.

  Step 2 is Kruskal's algorithm, run in parallel: a link is decided once no stronger one touches either of its ends.
  An end that no rule can bind (`is_free`) joins over its strongest link at once, because that link will be taken
  whatever happens elsewhere. What is not decided after `most_rounds` rounds is held.
#}
{% macro identity_apart(made, rules, nodes, links, placed, seen, decisions) -%}
    {%- set guards = rules.guards -%}
    {%- set limited = [] -%}
    {%- for type in rules.types if type.most is not none -%}
        {%- do limited.append({'no': loop.index, 'most': type.most, 'within_days': type.within_days}) -%}
    {%- endfor -%}
    {%- set counts = [] -%}
    {%- set has_too_many = ['count(*) > ' ~ guards.most_identifiers] -%}
    {%- for type in rules.types if type.most is not none -%}
        {%- set counted = 'sum(case when type_no = ' ~ loop.index ~ ' then 1 else 0 end)' -%}
        {%- do counts.append(counted ~ ' as count_' ~ loop.index) -%}
        {%- do has_too_many.append(counted ~ ' > ' ~ type.most) -%}
    {%- endfor -%}

    {%- set kept_apart = scratch(made, 'kept_apart',
        'select distinct least(from_nodes.node_id, to_nodes.node_id) as a, '
        ~ 'greatest(from_nodes.node_id, to_nodes.node_id) as b from ' ~ decisions ~ ' as decisions '
        ~ 'inner join ' ~ nodes ~ ' as from_nodes on decisions.from_key = from_nodes.node '
        ~ 'inner join ' ~ nodes ~ ' as to_nodes on decisions.to_key = to_nodes.node '
        ~ "where decisions.decision = 'keep_apart'"
    ) -%}
    {%- set suspects_sql = 'select loose_id from ' ~ placed ~ ' group by loose_id having '
        ~ has_too_many | join(' or ')
        ~ ' union select from_places.loose_id from ' ~ kept_apart ~ ' as kept_apart '
        ~ 'inner join ' ~ placed ~ ' as from_places on kept_apart.a = from_places.node_id '
        ~ 'inner join ' ~ placed ~ ' as to_places on kept_apart.b = to_places.node_id '
        ~ 'where from_places.loose_id = to_places.loose_id' -%}
    {%- set loose_links = 'select from_places.loose_id, '
        ~ 'least(from_places.strict_id, to_places.strict_id) as a, greatest(from_places.strict_id, to_places.strict_id) as b '
        ~ 'from (select a, b from ' ~ links ~ ' where tier_rank = 3) as links '
        ~ 'inner join ' ~ placed ~ ' as from_places on links.a = from_places.node_id '
        ~ 'inner join ' ~ placed ~ ' as to_places on links.b = to_places.node_id '
        ~ 'where from_places.strict_id <> to_places.strict_id' -%}
    {%- if number_of('select count(*) as link_count from ' ~ links ~ ' where tier_rank = 3') > 0 -%}
        {%- set sizes = '(select strict_id, count(*) as node_count from ' ~ placed ~ ' group by strict_id)' -%}
        {%- set suspects_sql = suspects_sql ~ ' union select bridges.loose_id from (select loose_id, a, b, count(*) as link_count '
            ~ 'from (' ~ loose_links ~ ') as loose_links group by loose_id, a, b) as bridges '
            ~ 'inner join ' ~ sizes ~ ' as from_sizes on bridges.a = from_sizes.strict_id '
            ~ 'inner join ' ~ sizes ~ ' as to_sizes on bridges.b = to_sizes.strict_id '
            ~ 'where bridges.link_count < ' ~ guards.least_loose_links
            ~ ' and from_sizes.node_count > 1 and to_sizes.node_count > 1' -%}
    {%- endif -%}
    {%- set suspects = scratch(made, 'suspects', suspects_sql) -%}
    {%- if not has_rows(suspects) -%}{{ return(none) }}{%- endif -%}

    {%- set suspect_nodes = scratch(made, 'suspect_nodes',
        'select placed.node_id, placed.type_no, placed.loose_id, nodes.node, '
        ~ "coalesce(seen.first_seen_at, cast('1900-01-01 00:00:00' as timestamp)) as first_seen_at, "
        ~ "coalesce(seen.last_seen_at, cast('9000-01-01 00:00:00' as timestamp)) as last_seen_at "
        ~ 'from ' ~ placed ~ ' as placed inner join ' ~ suspects ~ ' as suspects on placed.loose_id = suspects.loose_id '
        ~ 'inner join ' ~ nodes ~ ' as nodes on placed.node_id = nodes.node_id '
        ~ 'inner join ' ~ seen ~ ' as seen on nodes.node = seen.identifier_key'
    ) -%}
    {%- set first_seen = "coalesce(links.first_seen_at, cast('9000-01-01 00:00:00' as timestamp))" -%}
    {%- set ranked = scratch(made, 'ranked',
        'select links.a, links.b, links.tier_rank, from_nodes.loose_id, row_number() over (partition by from_nodes.loose_id '
        ~ 'order by links.tier_rank, case when links.tier_rank = 0 then ' ~ first_seen ~ ' end desc, ' ~ first_seen ~ ', '
        ~ dbt.hash("least(from_nodes.node, to_nodes.node) || '>' || greatest(from_nodes.node, to_nodes.node)")
        ~ ') as link_rank from ' ~ links ~ ' as links '
        ~ 'inner join ' ~ suspect_nodes ~ ' as from_nodes on links.a = from_nodes.node_id '
        ~ 'inner join ' ~ suspect_nodes ~ ' as to_nodes on links.b = to_nodes.node_id '
        ~ 'where links.a <> links.b'
    ) -%}
    {%- set ranked = identity_within_size(made, guards.most_identifiers, suspect_nodes, ranked) -%}

    {#- a node that no rule can bind: of a type of which its component has no more than it may, and not kept apart -#}
    {%- set ns = namespace(binding=['kept_apart.node_id is not null'], places=none, tree=none) -%}
    {%- for type in limited -%}
        {%- do ns.binding.append('(nodes.type_no = ' ~ type.no ~ ' and totals.count_' ~ type.no ~ ' > ' ~ type.most ~ ')') -%}
    {%- endfor -%}
    {%- set totals = scratch(made, 'totals',
        'select loose_id' ~ (', ' if counts else '') ~ counts | join(', ') ~ ' from ' ~ suspect_nodes ~ ' group by loose_id'
    ) -%}
    {%- set ns.places = scratch(made, 'places_start',
        'select nodes.node_id, nodes.node_id as place_id, nodes.loose_id, nodes.type_no, nodes.first_seen_at, nodes.last_seen_at, '
        ~ dbt.hash('nodes.node') ~ ' as coins, '
        ~ 'case when ' ~ ns.binding | join(' or ') ~ ' then 1 else 0 end as is_bound '
        ~ 'from ' ~ suspect_nodes ~ ' as nodes inner join ' ~ totals ~ ' as totals on nodes.loose_id = totals.loose_id '
        ~ 'left join (select a as node_id from ' ~ kept_apart ~ ' union select b as node_id from ' ~ kept_apart
        ~ ') as kept_apart on nodes.node_id = kept_apart.node_id'
    ) -%}
    {%- set ns.tree = scratch(made, 'tree_start', 'select a, b, tier_rank from ' ~ ranked ~ ' where 1 = 0') -%}
    {%- set joined = identity_join(made, 'strict', guards, limited, counts, kept_apart,
        'select * from ' ~ ranked ~ ' where tier_rank <= 2', ns.places, ns.tree) -%}
    {%- set strict_places, ns.tree = joined[0], joined[1] -%}

    {%- set bridges = scratch(made, 'bridges',
        'select links.*, least(from_places.place_id, to_places.place_id) as from_place, '
        ~ 'greatest(from_places.place_id, to_places.place_id) as to_place from ' ~ ranked ~ ' as links '
        ~ 'inner join ' ~ strict_places ~ ' as from_places on links.a = from_places.node_id '
        ~ 'inner join ' ~ strict_places ~ ' as to_places on links.b = to_places.node_id '
        ~ 'where links.tier_rank = 3 and from_places.place_id <> to_places.place_id'
    ) -%}
    {%- set sizes = '(select place_id, count(*) as node_count from ' ~ strict_places ~ ' group by place_id)' -%}
    {%- set strong = 'select bridges.a, bridges.b, bridges.tier_rank, bridges.loose_id, bridges.link_rank from ' ~ bridges ~ ' as bridges '
        ~ 'inner join (select from_place, to_place, count(*) as link_count from ' ~ bridges ~ ' group by from_place, to_place) as counted '
        ~ 'on bridges.from_place = counted.from_place and bridges.to_place = counted.to_place '
        ~ 'inner join ' ~ sizes ~ ' as from_sizes on bridges.from_place = from_sizes.place_id '
        ~ 'inner join ' ~ sizes ~ ' as to_sizes on bridges.to_place = to_sizes.place_id '
        ~ 'where counted.link_count >= ' ~ guards.least_loose_links ~ ' or from_sizes.node_count = 1 or to_sizes.node_count = 1' -%}
    {%- set loose_places = identity_join(made, 'loose', guards, limited, counts, kept_apart, strong, strict_places, ns.tree)[0] -%}

    {%- set exact_labels = contraction_labels(made, 'apart_exact',
        scratch(made, 'apart_exact', 'select a, b from ' ~ ns.tree ~ ' where tier_rank <= 1')
    ) -%}
    {{ return(scratch(made, 'apart',
        'select loose_places.node_id, '
        ~ ('coalesce(exact_labels.label, loose_places.node_id)' if exact_labels else 'loose_places.node_id') ~ ' as exact_id, '
        ~ 'strict_places.place_id as strict_id, loose_places.place_id as loose_id from ' ~ loose_places ~ ' as loose_places '
        ~ 'inner join ' ~ strict_places ~ ' as strict_places on loose_places.node_id = strict_places.node_id'
        ~ (' left join ' ~ exact_labels ~ ' as exact_labels on loose_places.node_id = exact_labels.node_id' if exact_labels else '')
    )) }}
{%- endmacro %}


{#
  The links that are left of components of too many nodes: for each the longest run of its ranks under which no part
  is too large, found by halving. What one half joined is contracted before the next is tried, so that all the trials
  together cost about as much as one look at the links.
#}
{% macro identity_within_size(made, most, nodes, ranked) -%}
    {%- set oversized = scratch(made, 'oversized_start',
        'select ranked.loose_id, cast(0 as bigint) as fits, count(*) as at_most from ' ~ ranked ~ ' as ranked inner join ('
        ~ 'select loose_id from ' ~ nodes ~ ' group by loose_id having count(*) > ' ~ most
        ~ ') as large on ranked.loose_id = large.loose_id group by ranked.loose_id'
    ) -%}
    {%- if not has_rows(oversized) -%}{{ return(ranked) }}{%- endif -%}
    {%- set ns = namespace(oversized=oversized, nodes=scratch(made, 'oversized_nodes_start',
        'select nodes.node_id, nodes.loose_id, nodes.node_id as place_id from ' ~ nodes ~ ' as nodes '
        ~ 'inner join ' ~ oversized ~ ' as oversized on nodes.loose_id = oversized.loose_id'
    )) -%}
    {%- set middle = 'cast(floor((oversized.fits + oversized.at_most + 1) / 2.0) as bigint)' -%}
    {%- for step in range(64)
        if number_of('select count(*) as open_count from ' ~ ns.oversized ~ ' where fits < at_most') > 0 -%}
        {%- set labels = contraction_labels(made, 'size', scratch(made, 'size_trial',
            'select distinct least(from_nodes.place_id, to_nodes.place_id) as a, '
            ~ 'greatest(from_nodes.place_id, to_nodes.place_id) as b from ' ~ ranked ~ ' as ranked '
            ~ 'inner join ' ~ ns.oversized ~ ' as oversized on ranked.loose_id = oversized.loose_id '
            ~ 'and ranked.link_rank > oversized.fits and ranked.link_rank <= ' ~ middle
            ~ ' inner join ' ~ ns.nodes ~ ' as from_nodes on ranked.a = from_nodes.node_id '
            ~ 'inner join ' ~ ns.nodes ~ ' as to_nodes on ranked.b = to_nodes.node_id '
            ~ 'where oversized.fits < oversized.at_most and from_nodes.place_id <> to_nodes.place_id'
        )) -%}
        {%- set trial = scratch(made, 'size_nodes_trial_' ~ (step % 2),
            'select nodes.node_id, nodes.loose_id, nodes.place_id, '
            ~ ('coalesce(labels.label, nodes.place_id)' if labels else 'nodes.place_id') ~ ' as trial_id from ' ~ ns.nodes ~ ' as nodes'
            ~ (' left join ' ~ labels ~ ' as labels on nodes.place_id = labels.node_id' if labels else '')
        ) -%}
        {%- set largest = scratch(made, 'size_largest',
            'select loose_id, max(node_count) as node_count from (select loose_id, trial_id, count(*) as node_count from '
            ~ trial ~ ' group by loose_id, trial_id) as sizes group by loose_id'
        ) -%}
        {%- set ns.nodes = scratch(made, 'size_nodes_' ~ (step % 2),
            'select trial.node_id, trial.loose_id, case when largest.node_count <= ' ~ most
            ~ ' then trial.trial_id else trial.place_id end as place_id from ' ~ trial ~ ' as trial '
            ~ 'inner join ' ~ largest ~ ' as largest on trial.loose_id = largest.loose_id'
        ) -%}
        {%- set ns.oversized = scratch(made, 'oversized_' ~ (step % 2),
            'select oversized.loose_id, '
            ~ 'case when oversized.fits < oversized.at_most and largest.node_count <= ' ~ most ~ ' then ' ~ middle
            ~ ' else oversized.fits end as fits, '
            ~ 'case when oversized.fits < oversized.at_most and largest.node_count > ' ~ most ~ ' then ' ~ middle
            ~ ' - 1 else oversized.at_most end as at_most from ' ~ ns.oversized ~ ' as oversized '
            ~ 'inner join ' ~ largest ~ ' as largest on oversized.loose_id = largest.loose_id'
        ) -%}
    {%- endfor -%}
    {{ return(scratch(made, 'ranked_within_size',
        'select ranked.* from ' ~ ranked ~ ' as ranked left join ' ~ ns.oversized
        ~ ' as oversized on ranked.loose_id = oversized.loose_id '
        ~ 'where oversized.loose_id is null or ranked.link_rank <= oversized.fits'
    )) }}
{%- endmacro %}


{#
  Joins places over links, strongest first, wherever the rules let them; returns the places and the links taken.
  `links` is SQL (a, b, tier_rank, loose_id, link_rank); `tree` gathers the links taken.
#}
{% macro identity_join(made, phase, guards, limited, counts, kept_apart, links, places, tree) -%}
    {%- set ns = namespace(places=places, tree=tree, candidates=scratch(made, phase ~ '_candidates_start',
        'select links.loose_id, least(from_places.place_id, to_places.place_id) as a, '
        ~ 'greatest(from_places.place_id, to_places.place_id) as b, '
        ~ 'min(links.link_rank) as link_rank, min(links.tier_rank) as tier_rank from (' ~ links ~ ') as links '
        ~ 'inner join ' ~ places ~ ' as from_places on links.a = from_places.node_id '
        ~ 'inner join ' ~ places ~ ' as to_places on links.b = to_places.node_id '
        ~ 'where from_places.place_id <> to_places.place_id group by links.loose_id, '
        ~ 'least(from_places.place_id, to_places.place_id), greatest(from_places.place_id, to_places.place_id)'
    )) -%}
    {%- for round in range(guards.most_rounds) if has_rows(ns.candidates) -%}
        {%- set twin = round % 2 -%}
        {%- set sums = scratch(made, phase ~ '_sums',
            'select place_id, case when max(is_bound) = 0 then 1 else 0 end as is_free, '
            ~ "max(case when node_id = place_id then substring(coins, " ~ (round % 32 + 1) ~ ", 1) end) < '8' as is_head"
            ~ (', ' if counts else '') ~ counts | join(', ')
            ~ ' from ' ~ ns.places ~ ' group by place_id'
        ) -%}
        {%- set apart_places = 'select distinct least(from_places.place_id, to_places.place_id) as a, '
            ~ 'greatest(from_places.place_id, to_places.place_id) as b from ' ~ kept_apart ~ ' as kept_apart '
            ~ 'inner join ' ~ ns.places ~ ' as from_places on kept_apart.a = from_places.node_id '
            ~ 'inner join ' ~ ns.places ~ ' as to_places on kept_apart.b = to_places.node_id' -%}
        {%- set windows, breaks = [], [] -%}
        {%- for type in limited -%}
            {%- set both = 'from_sums.count_' ~ type.no ~ ' > 0 and to_sums.count_' ~ type.no ~ ' > 0 and from_sums.count_'
                ~ type.no ~ ' + to_sums.count_' ~ type.no ~ ' > ' ~ type.most -%}
            {%- if type.within_days is none -%}
                {%- do breaks.append('(' ~ both ~ ')') -%}
            {%- else -%}
                {%- do windows.append(type.no) -%}
                {%- do breaks.append('(' ~ both ~ ' and over_' ~ type.no ~ '.a is not null)') -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set open = scratch(made, phase ~ '_open',
            'select candidates.* from ' ~ ns.candidates ~ ' as candidates '
            ~ 'inner join ' ~ sums ~ ' as from_sums on candidates.a = from_sums.place_id '
            ~ 'inner join ' ~ sums ~ ' as to_sums on candidates.b = to_sums.place_id '
            ~ 'left join (' ~ apart_places ~ ') as apart_places on candidates.a = apart_places.a and candidates.b = apart_places.b '
            ~ identity_windows_joined(made, phase, limited, ns.candidates, ns.places)
            ~ 'where apart_places.a is null'
            ~ (' and (candidates.tier_rank = 0 or not (' ~ breaks | join(' or ') ~ '))' if breaks else '')
        ) -%}
        {%- set best = scratch(made, phase ~ '_best',
            'select place_id, min(link_rank) as link_rank from (select a as place_id, link_rank from ' ~ open
            ~ ' union all select b as place_id, link_rank from ' ~ open ~ ') as touching group by place_id'
        ) -%}
        {%- set wanted = scratch(made, phase ~ '_wanted',
            'select links.a, links.b, links.loose_id, links.link_rank, links.tier_rank, '
            ~ 'from_best.link_rank = links.link_rank as is_best_of_a, to_best.link_rank = links.link_rank as is_best_of_b, '
            ~ 'from_sums.is_free as is_a_free, to_sums.is_free as is_b_free, '
            ~ 'from_sums.is_head as is_a_head, to_sums.is_head as is_b_head from ' ~ open ~ ' as links '
            ~ 'inner join ' ~ best ~ ' as from_best on links.a = from_best.place_id '
            ~ 'inner join ' ~ best ~ ' as to_best on links.b = to_best.place_id '
            ~ 'inner join ' ~ sums ~ ' as from_sums on links.a = from_sums.place_id '
            ~ 'inner join ' ~ sums ~ ' as to_sums on links.b = to_sums.place_id '
            ~ 'where from_best.link_rank = links.link_rank or to_best.link_rank = links.link_rank'
        ) -%}
        {%- set moves = scratch(made, phase ~ '_moves',
            'select b as from_id, a as to_id, loose_id, link_rank from ' ~ wanted
            ~ ' where is_best_of_a and is_best_of_b and is_a_free = 0 and is_b_free = 0 '
            ~ 'union all select a as from_id, b as to_id, loose_id, link_rank from ' ~ wanted
            ~ ' where is_best_of_a and is_a_free = 1 and (is_b_free = 0 or (not is_a_head and is_b_head)) '
            ~ 'union all select b as from_id, a as to_id, loose_id, link_rank from ' ~ wanted
            ~ ' where is_best_of_b and is_b_free = 1 and (is_a_free = 0 or (not is_b_head and is_a_head))'
        ) -%}
        {%- set moved = scratch(made, phase ~ '_moved',
            'select moves.from_id, coalesce(third.to_id, second.to_id, moves.to_id) as to_id from ' ~ moves ~ ' as moves '
            ~ 'left join ' ~ moves ~ ' as second on moves.to_id = second.from_id '
            ~ 'left join ' ~ moves ~ ' as third on second.to_id = third.from_id'
        ) -%}
        {%- set ns.tree = scratch(made, phase ~ '_tree_' ~ twin,
            'select a, b, tier_rank from ' ~ ns.tree ~ ' union all select ranked.a, ranked.b, ranked.tier_rank from ('
            ~ links ~ ') as ranked inner join ' ~ moves ~ ' as moves on ranked.loose_id = moves.loose_id '
            ~ 'and ranked.link_rank = moves.link_rank'
        ) -%}
        {%- set ns.places = scratch(made, phase ~ '_places_' ~ twin,
            'select places.node_id, coalesce(moved.to_id, places.place_id) as place_id, places.loose_id, places.type_no, '
            ~ 'places.first_seen_at, places.last_seen_at, places.coins, places.is_bound from ' ~ ns.places ~ ' as places '
            ~ 'left join ' ~ moved ~ ' as moved on places.place_id = moved.from_id'
        ) -%}
        {%- set ns.candidates = scratch(made, phase ~ '_candidates_' ~ twin,
            'select loose_id, a, b, min(link_rank) as link_rank, min(tier_rank) as tier_rank from ('
            ~ 'select links.loose_id, '
            ~ 'least(coalesce(from_moved.to_id, links.a), coalesce(to_moved.to_id, links.b)) as a, '
            ~ 'greatest(coalesce(from_moved.to_id, links.a), coalesce(to_moved.to_id, links.b)) as b, '
            ~ 'links.link_rank, links.tier_rank from ' ~ open ~ ' as links '
            ~ 'left join ' ~ moved ~ ' as from_moved on links.a = from_moved.from_id '
            ~ 'left join ' ~ moved ~ ' as to_moved on links.b = to_moved.from_id) as mapped '
            ~ 'where a <> b group by loose_id, a, b'
        ) -%}
    {%- endfor -%}
    {{ return([ns.places, ns.tree]) }}
{%- endmacro %}


{# Joins, for each type whose limit has a window, the candidates that would have too many within it. #}
{% macro identity_windows_joined(made, phase, limited, candidates, places) -%}
    {%- set joins = [] -%}
    {%- for type in limited if type.within_days is not none -%}
        {%- set both = 'select candidates.a, candidates.b, places.first_seen_at, places.last_seen_at from ' ~ candidates
            ~ ' as candidates inner join ' ~ places ~ ' as places on ' -%}
        {%- set intervals = '(' ~ both ~ 'candidates.a = places.place_id where places.type_no = ' ~ type.no
            ~ ' union all ' ~ both ~ 'candidates.b = places.place_id where places.type_no = ' ~ type.no ~ ')' -%}
        {%- set over = scratch(made, phase ~ '_over_' ~ type.no,
            'select a, b from (select a, b, sum(step) over (partition by a, b order by stepped_at, step desc '
            ~ 'rows between unbounded preceding and current row) as at_once from ('
            ~ 'select a, b, first_seen_at as stepped_at, 1 as step from ' ~ intervals ~ ' as first_seen '
            ~ "union all select a, b, last_seen_at + interval '" ~ type.within_days ~ "' day as stepped_at, -1 as step from "
            ~ intervals ~ ' as last_seen) as steps) as counted group by a, b having max(at_once) > ' ~ type.most
        ) -%}
        {%- do joins.append('left join ' ~ over ~ ' as over_' ~ type.no ~ ' on candidates.a = over_' ~ type.no
            ~ '.a and candidates.b = over_' ~ type.no ~ '.b ') -%}
    {%- endfor -%}
    {{ return(joins | join('')) }}
{%- endmacro %}
