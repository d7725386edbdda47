{#
  Takes apart the components that break a rule; the others are not looked at. Returns a relation (node_id, received,
  exact_id, strict_id, loose_id, former_id: the component taken apart) for the nodes of those components, or none when every
  component keeps the rules.

  1. A component of more identifiers than `most_identifiers` has been cut before (`identity_within_size`).
  2. Links join strongest first: exact, strict, each earliest first, then by the keyed hashes of the two identifiers. A
     link that would give a person more of a type than `per_person` allows, or bring together what an operator keeps
     apart, is held.
  3. Between two such persons of more than one identifier, fewer loose links than `least_loose_links` are held. The other
     loose links join like those of step 2.
  4. What an operator joined is joined, newest decision first, whole persons and whatever `per_person` allows, unless that
     brings together what one keeps apart.

  Each step is Kruskal's algorithm, run in parallel: a link is decided once no stronger one touches either of its ends.
  An end that no rule can bind (`is_free`) joins over its strongest link at once, because that link will be taken
  whatever happens elsewhere. What is not decided after `most_rounds` rounds is held.
#}
{% macro identity_apart(made, rules, nodes, links, placed, seen, decisions) -%}
    {%- set guards = rules.guards -%}
    {%- set limited, counts, has_too_many = [], [], [] -%}
    {%- for type in rules.types if type.most is not none -%}
        {%- set no = rules.types.index(type) + 1 -%}
        {%- set counted = 'sum(case when received % 100 = ' ~ no ~ ' then 1 else 0 end)' -%}
        {%- do limited.append({'no': no, 'most': type.most, 'within_days': type.within_days}) -%}
        {%- do counts.append(counted ~ ' as count_' ~ no) -%}
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
        ~ (has_too_many | join(' or ') or '1 = 0')
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
    {%- set found = counted_scratch(made, 'suspects', suspects_sql) -%}
    {%- if found[1] == 0 -%}{{ return(none) }}{%- endif -%}
    {%- set suspects = found[0] -%}

    {#- places are numbered below zero, apart from every node, and in an order that does not change from build to build -#}
    {%- set suspect_nodes = scratch(made, 'suspect_nodes',
        'select placed.node_id, -1 * row_number() over (order by nodes.node) as start_id, placed.received, placed.loose_id, nodes.node, '
        ~ "coalesce(seen.first_seen_at, cast('1900-01-01 00:00:00' as timestamp)) as first_seen_at, "
        ~ "coalesce(seen.last_seen_at, cast('9000-01-01 00:00:00' as timestamp)) as last_seen_at "
        ~ 'from ' ~ placed ~ ' as placed inner join ' ~ suspects ~ ' as suspects on placed.loose_id = suspects.loose_id '
        ~ 'inner join ' ~ nodes ~ ' as nodes on placed.node_id = nodes.node_id '
        ~ 'inner join ' ~ seen ~ ' as seen on nodes.node = seen.identifier_key'
    ) -%}
    {%- set ranked = identity_ranked(made, 'ranked', links, suspect_nodes) -%}

    {#- a node that no rule can bind: of a type of which its component has no more than it may, and not kept apart -#}
    {%- set binding = ['kept_apart.node_id is not null'] -%}
    {%- for type in limited -%}
        {%- do binding.append('(nodes.received % 100 = ' ~ type.no ~ ' and totals.count_' ~ type.no ~ ' > ' ~ type.most ~ ')') -%}
    {%- endfor -%}
    {%- set totals = scratch(made, 'totals',
        'select loose_id' ~ (', ' if counts else '') ~ counts | join(', ') ~ ' from ' ~ suspect_nodes ~ ' group by loose_id'
    ) -%}
    {%- set start_places = scratch(made, 'places_start',
        'select nodes.node_id, nodes.start_id, nodes.start_id as place_id, nodes.loose_id, nodes.received, nodes.first_seen_at, '
        ~ 'nodes.last_seen_at, '
        ~ dbt.hash('nodes.node') ~ ' as coins, '
        ~ 'case when ' ~ binding | join(' or ') ~ ' then 1 else 0 end as is_bound '
        ~ 'from ' ~ suspect_nodes ~ ' as nodes inner join ' ~ totals ~ ' as totals on nodes.loose_id = totals.loose_id '
        ~ 'left join (select a as node_id from ' ~ kept_apart ~ ' union select b as node_id from ' ~ kept_apart
        ~ ') as kept_apart on nodes.node_id = kept_apart.node_id'
    ) -%}
    {%- set strict_places = identity_join(made, 'strict', guards, limited, counts, kept_apart,
        'select * from ' ~ ranked ~ ' where tier_rank in (1, 2)', start_places) -%}

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
    {%- set loose_places = identity_join(made, 'loose', guards, limited, counts, kept_apart, strong, strict_places) -%}
    {%- set final_places = identity_join(made, 'operator', guards, limited, counts, kept_apart,
        'select * from ' ~ ranked ~ ' where tier_rank = 0', loose_places) -%}

    {#- how surely: by the links within a person, up to each tier -#}
    {%- set within = 'select distinct least(links.a, links.b) as a, greatest(links.a, links.b) as b from ' ~ ranked ~ ' as links '
        ~ 'inner join ' ~ final_places ~ ' as from_places on links.a = from_places.node_id '
        ~ 'inner join ' ~ final_places ~ ' as to_places on links.b = to_places.node_id '
        ~ 'where from_places.place_id = to_places.place_id and links.tier_rank <= ' -%}
    {%- set exact_labels = contraction_labels(made, 'apart_exact', within ~ '1') -%}
    {%- set strict_labels = contraction_labels(made, 'apart_strict', within ~ '2') -%}
    {{ return(scratch(made, 'apart',
        'select places.node_id, places.received, '
        ~ ('coalesce(exact_labels.label, places.node_id)' if exact_labels else 'places.node_id') ~ ' as exact_id, '
        ~ ('coalesce(strict_labels.label, places.node_id)' if strict_labels else 'places.node_id') ~ ' as strict_id, '
        ~ 'places.place_id as loose_id, places.loose_id as former_id from ' ~ final_places ~ ' as places'
        ~ (' left join ' ~ exact_labels ~ ' as exact_labels on places.node_id = exact_labels.node_id' if exact_labels else '')
        ~ (' left join ' ~ strict_labels ~ ' as strict_labels on places.node_id = strict_labels.node_id' if strict_labels else '')
    )) }}
{%- endmacro %}


{#
  The links of some components, strongest first within each: (loose_id, link_rank, a, b, tier_rank, first_seen_at).
  By tier, earliest first, then by the keyed hashes of the two identifiers; what an operator joined, newest first, last.
#}
{% macro identity_ranked(made, suffix, links, nodes) -%}
    {%- set first_seen = "coalesce(links.first_seen_at, cast('9000-01-01 00:00:00' as timestamp))" -%}
    {{ return(scratch(made, suffix,
        'select links.a, links.b, links.tier_rank, links.first_seen_at, from_nodes.loose_id, row_number() over ('
        ~ 'partition by from_nodes.loose_id order by case when links.tier_rank = 0 then 4 else links.tier_rank end, case when links.tier_rank = 0 then ' ~ first_seen
        ~ ' end desc, ' ~ first_seen ~ ', least(from_nodes.node, to_nodes.node), greatest(from_nodes.node, to_nodes.node)'
        ~ ') as link_rank from ' ~ links ~ ' as links '
        ~ 'inner join ' ~ nodes ~ ' as from_nodes on links.a = from_nodes.node_id '
        ~ 'inner join ' ~ nodes ~ ' as to_nodes on links.b = to_nodes.node_id'
    )) }}
{%- endmacro %}


{#
  Cuts components of more than `most` nodes: of each the longest run of its links, strongest first, under which no part
  is too large, is kept; later links are held. A run is counted in steps of one in 256 of the links, and found by
  halving, after a first look at the sixteenth that is mostly enough of a chain or a hub. What one part joined is contracted
  before the next is tried, so that all the trials together cost at most about as much as one look at the links.

  Returns the nodes of those components and the links that are left, or none when no component is too large.
#}
{% macro identity_within_size(made, most, nodes, links, placed) -%}
    {%- set large = counted_scratch(made, 'large',
        'select loose_id from ' ~ placed ~ ' group by loose_id having count(*) > ' ~ most
    ) -%}
    {%- if large[1] == 0 -%}{{ return(none) }}{%- endif -%}
    {%- set large_nodes = scratch(made, 'large_nodes',
        'select placed.*, nodes.node from ' ~ placed ~ ' as placed '
        ~ 'inner join ' ~ large[0] ~ ' as large on placed.loose_id = large.loose_id '
        ~ 'inner join ' ~ nodes ~ ' as nodes on placed.node_id = nodes.node_id'
    ) -%}
    {%- set ranked = identity_ranked(made, 'large_ranked', links, large_nodes) -%}
    {%- set run = namespace(
        searches=scratch(made, 'run_searches_start',
            'select loose_id, step, cast(0 as bigint) as fits, cast(floor((link_count - 1) / step) as bigint) as at_most from ('
            ~ 'select loose_id, count(*) as link_count, cast(ceil(count(*) / 256.0) as bigint) as step from ' ~ ranked
            ~ ' group by loose_id) as counted'
        ),
        nodes=scratch(made, 'run_nodes_start', 'select node_id, loose_id, node_id as place_id from ' ~ large_nodes),
        places=scratch(made, 'run_places_start',
            'select node_id as place_id, loose_id, cast(1 as bigint) as node_count from ' ~ large_nodes
        ),
    ) -%}
    {%- set is_open = 'searches.fits < searches.at_most' -%}
    {%- for halving in range(10) -%}
        {%- set twin = halving % 2 -%}
        {%- set middle = 'searches.fits + cast(ceil((searches.at_most - searches.fits) / '
            ~ (16.0 if halving == 0 else 2.0) ~ ') as bigint)' -%}
        {%- set labels = contraction_labels(made, 'run',
            'select distinct least(from_nodes.place_id, to_nodes.place_id) as a, '
            ~ 'greatest(from_nodes.place_id, to_nodes.place_id) as b from ' ~ ranked ~ ' as ranked '
            ~ 'inner join ' ~ run.searches ~ ' as searches on ranked.loose_id = searches.loose_id '
            ~ 'inner join ' ~ run.nodes ~ ' as from_nodes on ranked.a = from_nodes.node_id '
            ~ 'inner join ' ~ run.nodes ~ ' as to_nodes on ranked.b = to_nodes.node_id where ' ~ is_open
            ~ ' and ranked.link_rank > searches.fits * searches.step and ranked.link_rank <= (' ~ middle ~ ') * searches.step'
            ~ ' and from_nodes.place_id <> to_nodes.place_id'
        ) -%}
        {%- if labels is none -%}
            {%- set failed = scratch(made, 'run_failed', 'select loose_id from ' ~ run.searches ~ ' where 1 = 0') -%}
        {%- else -%}
            {%- set failed = scratch(made, 'run_failed',
                'select distinct loose_id from (select places.loose_id, labels.label from ' ~ run.places ~ ' as places '
                ~ 'inner join ' ~ labels ~ ' as labels on places.place_id = labels.node_id '
                ~ 'group by places.loose_id, labels.label having sum(places.node_count) > ' ~ most ~ ') as too_large'
            ) -%}
            {%- set joined = counted_scratch(made, 'run_joined',
                'select labels.node_id, labels.label from ' ~ labels ~ ' as labels '
                ~ 'inner join ' ~ run.places ~ ' as places on labels.node_id = places.place_id '
                ~ 'left join ' ~ failed ~ ' as failed on places.loose_id = failed.loose_id where failed.loose_id is null'
            ) -%}
            {%- if joined[1] > 0 -%}
                {%- set run.nodes = scratch(made, 'run_nodes_' ~ twin,
                    'select nodes.node_id, nodes.loose_id, coalesce(joined.label, nodes.place_id) as place_id from '
                    ~ run.nodes ~ ' as nodes left join ' ~ joined[0] ~ ' as joined on nodes.place_id = joined.node_id'
                ) -%}
                {%- set run.places = scratch(made, 'run_places_' ~ twin,
                    'select place_id, loose_id, count(*) as node_count from ' ~ run.nodes ~ ' group by place_id, loose_id'
                ) -%}
            {%- endif -%}
        {%- endif -%}
        {%- set run.searches = scratch(made, 'run_searches_' ~ twin,
            'select searches.loose_id, searches.step, '
            ~ 'case when ' ~ is_open ~ ' and failed.loose_id is null then ' ~ middle ~ ' else searches.fits end as fits, '
            ~ 'case when ' ~ is_open ~ ' and failed.loose_id is not null then ' ~ middle ~ ' - 1 else searches.at_most end '
            ~ 'as at_most from ' ~ run.searches ~ ' as searches left join ' ~ failed ~ ' as failed '
            ~ 'on searches.loose_id = failed.loose_id'
        ) -%}
        {%- if number_of('select count(*) from ' ~ run.searches ~ ' where fits < at_most') == 0 -%}{%- break -%}{%- endif -%}
    {%- endfor -%}
    {{ return({
        'nodes': large_nodes,
        'links': scratch(made, 'large_links',
            'select ranked.a, ranked.b, ranked.tier_rank, ranked.first_seen_at from ' ~ ranked ~ ' as ranked '
            ~ 'inner join ' ~ run.searches ~ ' as searches on ranked.loose_id = searches.loose_id '
            ~ 'where ranked.link_rank <= searches.fits * searches.step'
        ),
    }) }}
{%- endmacro %}


{#
  Joins places over links, strongest first, wherever the rules let them; returns the places. `links` is SQL (a, b,
  tier_rank, loose_id, link_rank).
#}
{% macro identity_join(made, phase, guards, limited, counts, kept_apart, links, places) -%}
    {%- set start = counted_scratch(made, phase ~ '_candidates_start',
        'select links.loose_id, least(from_places.place_id, to_places.place_id) as a, '
        ~ 'greatest(from_places.place_id, to_places.place_id) as b, '
        ~ 'min(links.link_rank) as link_rank, min(links.tier_rank) as tier_rank from (' ~ links ~ ') as links '
        ~ 'inner join ' ~ places ~ ' as from_places on links.a = from_places.node_id '
        ~ 'inner join ' ~ places ~ ' as to_places on links.b = to_places.node_id '
        ~ 'where from_places.place_id <> to_places.place_id group by links.loose_id, '
        ~ 'least(from_places.place_id, to_places.place_id), greatest(from_places.place_id, to_places.place_id)'
    ) -%}
    {%- set ns = namespace(places=places, candidates=start[0], candidate_count=start[1]) -%}
    {%- for round in range(guards.most_rounds) -%}
        {%- if ns.candidate_count == 0 -%}{%- break -%}{%- endif -%}
        {%- set twin = round % 2 -%}
        {%- set sums = scratch(made, phase ~ '_sums',
            'select place_id, case when max(is_bound) = 0 then 1 else 0 end as is_free, '
            ~ "max(case when start_id = place_id then substring(coins, " ~ (round % 32 + 1) ~ ", 1) end) < '8' as is_head"
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
            'select links.a, links.b, '
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
            'select b as from_id, a as to_id from ' ~ wanted
            ~ ' where is_best_of_a and is_best_of_b and is_a_free = 0 and is_b_free = 0 '
            ~ 'union all select a as from_id, b as to_id from ' ~ wanted
            ~ ' where is_best_of_a and is_a_free = 1 and (is_b_free = 0 or (not is_a_head and is_b_head)) '
            ~ 'union all select b as from_id, a as to_id from ' ~ wanted
            ~ ' where is_best_of_b and is_b_free = 1 and (is_a_free = 0 or (not is_b_head and is_a_head))'
        ) -%}
        {%- set moved = scratch(made, phase ~ '_moved',
            'select moves.from_id, coalesce(third.to_id, second.to_id, moves.to_id) as to_id from ' ~ moves ~ ' as moves '
            ~ 'left join ' ~ moves ~ ' as second on moves.to_id = second.from_id '
            ~ 'left join ' ~ moves ~ ' as third on second.to_id = third.from_id'
        ) -%}
        {%- set ns.places = scratch(made, phase ~ '_places_' ~ twin,
            'select places.node_id, places.start_id, coalesce(moved.to_id, places.place_id) as place_id, places.loose_id, places.received, '
            ~ 'places.first_seen_at, places.last_seen_at, places.coins, places.is_bound from ' ~ ns.places ~ ' as places '
            ~ 'left join ' ~ moved ~ ' as moved on places.place_id = moved.from_id'
        ) -%}
        {%- set mapped = counted_scratch(made, phase ~ '_candidates_' ~ twin,
            'select loose_id, a, b, min(link_rank) as link_rank, min(tier_rank) as tier_rank from ('
            ~ 'select links.loose_id, '
            ~ 'least(coalesce(from_moved.to_id, links.a), coalesce(to_moved.to_id, links.b)) as a, '
            ~ 'greatest(coalesce(from_moved.to_id, links.a), coalesce(to_moved.to_id, links.b)) as b, '
            ~ 'links.link_rank, links.tier_rank from ' ~ open ~ ' as links '
            ~ 'left join ' ~ moved ~ ' as from_moved on links.a = from_moved.from_id '
            ~ 'left join ' ~ moved ~ ' as to_moved on links.b = to_moved.from_id) as mapped '
            ~ 'where a <> b group by loose_id, a, b'
        ) -%}
        {%- set ns.candidates, ns.candidate_count = mapped[0], mapped[1] -%}
    {%- endfor -%}
    {{ return(ns.places) }}
{%- endmacro %}


{# Joins, for each type whose limit has a window, the candidates that would have too many within it. #}
{% macro identity_windows_joined(made, phase, limited, candidates, places) -%}
    {%- set joins = [] -%}
    {%- for type in limited if type.within_days is not none -%}
        {%- set both = 'select candidates.a, candidates.b, places.first_seen_at, places.last_seen_at from ' ~ candidates
            ~ ' as candidates inner join ' ~ places ~ ' as places on ' -%}
        {%- set intervals = '(' ~ both ~ 'candidates.a = places.place_id where places.received % 100 = ' ~ type.no
            ~ ' union all ' ~ both ~ 'candidates.b = places.place_id where places.received % 100 = ' ~ type.no ~ ')' -%}
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
