{#
  Who is one person: labels every identifier with its component, under the rules of identity_rules.yml.

  The model's SQL selects the links: from_key, to_key (strings, each pair once), tier_rank (see `tier_ranks`),
  first_seen_at. The config names the model of the nodes (identifier_key, identifier_type, received_at, first_seen_at,
  last_seen_at) and that of the decisions (from_key, to_key, decision).

  The table has one row per node: `node`; `component`, the node of its component that was received first; `tier`, how
  surely the node belongs to the strongest identifier of its component: by the weakest link of the best way there;
  `territory`, the component as it would be without rules: nothing outside of it has a say in it; `resolved_in`, the build.

  In a build by what changed (`is_delta`; the config `touched` names the model of the touched identifiers) the territories
  of touched identifiers, and of those that they are linked to now, are resolved again and the others stand.

  The components of all links are taken first, tier by tier. Where they keep every rule they stand. The others, few,
  are taken apart by `identity_apart`. What stands in the table is a function of nodes, links and decisions alone:
  not of the order of rows, the engine or its hash.
#}
{% materialization identity_components, supported_languages=['sql'] %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing_relation = load_cached_relation(this) -%}
    {%- set made = [] -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- set seen, decisions = ref(config.require('nodes')), ref(config.require('decisions')) -%}
    {%- if config.get('touched') and is_delta() -%}
        {%- set again = identity_territories(made, target_relation, sql, seen, ref(config.get('touched'))) -%}
        {%- set resolving = [] -%}
        {%- set fresh = scratch(
            made, 'fresh', identity_components_sql(resolving, 'select * from ' ~ again.links, again.nodes, decisions)
        ) -%}
        {%- do replace_touched(
            made, target_relation, fresh, is_touched(again.territories, ['territory'], touched_column='territory')
        ) -%}
        {%- do drop_scratch(resolving) -%}
    {%- else -%}
        {%- do make_anew(target_relation, existing_relation, identity_components_sql(made, sql, seen, decisions)) -%}
    {%- endif -%}
    {%- do drop_scratch(made) -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do persist_docs(target_relation, model) %}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{#
  What has to be resolved again: the `territories` that a touched identifier is in or is linked to, with all of their `nodes`
  and `links`. No link leads out of them but to a node that is touched or linked to one, so they are whole.
#}
{% macro identity_territories(made, components, links_sql, seen, touched) -%}
    {%- set touched_links = scratch(made, 'touched_links',
        'select from_key, to_key from (' ~ links_sql ~ ') as links where ' ~ is_touched(touched, ['from_key', 'to_key'])
    ) -%}
    {%- set reached = scratch(made, 'reached',
        'select identifier_key from ' ~ touched ~ ' union select from_key from ' ~ touched_links
        ~ ' union select to_key from ' ~ touched_links
    ) -%}
    {%- set territories = scratch(made, 'territories',
        'select distinct territory from ' ~ components ~ ' where ' ~ is_touched(reached, ['node'])
    ) -%}
    {%- set members = scratch(made, 'members',
        'select node as identifier_key from ' ~ components ~ ' where territory in (select territory from ' ~ territories
        ~ ') union select identifier_key from ' ~ reached
    ) -%}
    {{ return({
        'territories': territories,
        'nodes': scratch(made, 'nodes_again', 'select * from ' ~ seen ~ ' where ' ~ is_touched(members, ['identifier_key'])),
        'links': scratch(made, 'links_again',
            'select * from (' ~ links_sql ~ ') as links where ' ~ is_touched(members, ['from_key', 'to_key'], all_of=true)
        ),
    }) }}
{%- endmacro %}


{# Resolves nodes and links, given as SQL and relations; returns the SQL of (node, component, tier, territory, resolved_in). #}
{% macro identity_components_sql(made, links_sql, seen, decisions) -%}
    {%- set rules = identity_rules() -%}
    {%- set type_no = [] -%}
    {%- for type in rules.types -%}
        {%- do type_no.append("when '" ~ type.name ~ "' then " ~ loop.index) -%}
    {%- endfor -%}
    {#- `received` orders by the moment of receipt, then by type, strongest first -#}
    {%- set nodes = scratch(made, 'nodes',
        'select ' ~ row_id() ~ ' as node_id, identifier_key as node, '
        ~ epoch_microseconds('received_at') ~ ' * 100 + case identifier_type ' ~ type_no | join(' ') ~ ' end as received from ' ~ seen
    ) -%}
    {%- set ns = namespace(links=scratch(made, 'links',
        'select from_nodes.node_id as a, to_nodes.node_id as b, links.tier_rank, links.first_seen_at from ('
        ~ links_sql ~ ') as links inner join ' ~ nodes ~ ' as from_nodes on links.from_key = from_nodes.node '
        ~ 'inner join ' ~ nodes ~ ' as to_nodes on links.to_key = to_nodes.node where from_nodes.node_id <> to_nodes.node_id'
    )) -%}
    {%- set ns.placed = identity_levels(made, 'all', nodes, ns.links) -%}

    {#- what is too large is cut first, and the pieces are taken as if nothing else had been there -#}
    {%- set cut = identity_within_size(made, rules.guards.most_identifiers, nodes, ns.links, ns.placed) -%}
    {%- if cut is not none -%}
        {%- set pieces = identity_levels(made, 'cut', cut.nodes, cut.links) -%}
        {%- set ns.links = scratch(made, 'links_within_size',
            'select links.* from ' ~ ns.links ~ ' as links left join ' ~ cut.nodes ~ ' as large on links.a = large.node_id '
            ~ 'where large.node_id is null union all select a, b, tier_rank, first_seen_at from ' ~ cut.links
        ) -%}
        {%- set ns.placed = scratch(made, 'placed_within_size',
            'select placed.* from ' ~ ns.placed ~ ' as placed left join ' ~ cut.nodes ~ ' as large on placed.node_id = large.node_id '
            ~ 'where large.node_id is null union all select * from ' ~ pieces
        ) -%}
    {%- endif -%}

    {%- set apart = identity_apart(made, rules, nodes, ns.links, ns.placed, seen, decisions) -%}
    {%- if apart is not none -%}
        {%- set ns.placed = scratch(made, 'placed_apart',
            'select placed.* from ' ~ ns.placed ~ ' as placed left join ' ~ apart ~ ' as apart on placed.node_id = apart.node_id '
            ~ 'where apart.node_id is null union all '
            ~ 'select node_id, received, exact_id, strict_id, loose_id from ' ~ apart
        ) -%}
    {%- endif -%}

    {#- what rules have torn apart is still one territory -#}
    {%- set torn = [] -%}
    {%- if cut is not none -%}
        {%- do torn.append('select node_id, loose_id as former_id from ' ~ cut.nodes) -%}
    {%- endif -%}
    {%- if apart is not none -%}
        {%- do torn.append(
            'select node_id, former_id from ' ~ apart
            ~ (' where node_id not in (select node_id from ' ~ cut.nodes ~ ')' if cut is not none else '')
        ) -%}
    {%- endif -%}
    {%- if torn -%}
        {%- set torn_nodes = scratch(made, 'torn_nodes',
            'select torn.node_id, torn.former_id, nodes.node from (' ~ torn | join(' union all ') ~ ') as torn '
            ~ 'inner join ' ~ nodes ~ ' as nodes on torn.node_id = nodes.node_id'
        ) -%}
        {%- set territories = scratch(made, 'torn_territories',
            'select torn_nodes.node_id, named.territory from ' ~ torn_nodes ~ ' as torn_nodes inner join ('
            ~ 'select former_id, min(node) as territory from ' ~ torn_nodes ~ ' group by former_id) as named '
            ~ 'on torn_nodes.former_id = named.former_id'
        ) -%}
    {%- endif -%}

    {#- the founder was received first; the anchor is the strongest, the first received among equals; then the key -#}
    {%- set first_of_type = [] -%}
    {%- for type in rules.types -%}
        {%- do first_of_type.append('min(case when received % 100 = ' ~ loop.index ~ ' then received end)') -%}
    {%- endfor -%}
    {%- set firsts = scratch(made, 'firsts',
        'select loose_id, min(received) as founder_received, coalesce(' ~ first_of_type | join(', ') ~ ') as anchor_received from '
        ~ ns.placed ~ ' group by loose_id'
    ) -%}
    {%- set heads = scratch(made, 'heads',
        'select placed.loose_id, placed.exact_id, placed.strict_id, nodes.node, '
        ~ 'placed.received = firsts.founder_received as is_founder, placed.received = firsts.anchor_received as is_anchor from '
        ~ ns.placed ~ ' as placed inner join ' ~ firsts ~ ' as firsts on placed.loose_id = firsts.loose_id '
        ~ 'inner join ' ~ nodes ~ ' as nodes on placed.node_id = nodes.node_id '
        ~ 'where placed.received = firsts.founder_received or placed.received = firsts.anchor_received'
    ) -%}
    {%- set components = scratch(made, 'components',
        'select anchors.loose_id, anchors.exact_id, anchors.strict_id, founders.founder from ('
        ~ 'select loose_id, min_by(exact_id, node) as exact_id, min_by(strict_id, node) as strict_id from ' ~ heads
        ~ ' where is_anchor group by loose_id) as anchors inner join ('
        ~ 'select loose_id, min(node) as founder from ' ~ heads ~ ' where is_founder group by loose_id) as founders '
        ~ 'on anchors.loose_id = founders.loose_id'
    ) -%}
    {#- the last step is the largest: it gets the memory of all before -#}
    {%- do drop_scratch(made | reject('in', [nodes, ns.placed, components, territories]) | list) -%}
    {%- set components_sql -%}
        select
            nodes.node,
            components.founder as component,
            case
                when placed.exact_id = components.exact_id then 'exact'
                when placed.strict_id = components.strict_id then 'strict'
                else 'loose'
            end as tier,
            {{ 'coalesce(territories.territory, components.founder)' if torn else 'components.founder' }} as territory,
            {{ command_number() }} as resolved_in
        from {{ ns.placed }} as placed
        inner join {{ nodes }} as nodes
            on placed.node_id = nodes.node_id
        inner join {{ components }} as components
            on placed.loose_id = components.loose_id
        {%- if torn %}
        left join {{ territories }} as territories
            on placed.node_id = territories.node_id
        {%- endif %}
    {%- endset -%}
    {{ return(components_sql) }}
{%- endmacro %}


{#
  The components of `nodes` (node_id, received) under the links up to each tier, without any rule: each tier joins the
  components of the surer ones. Returns (node_id, received, exact_id, strict_id, loose_id).
#}
{% macro identity_levels(made, prefix, nodes, links) -%}
    {%- set ns = namespace(placed=nodes, former=none, place='node_id', columns=['places.node_id', 'places.received']) -%}
    {%- for tier in ('exact', 'strict', 'loose') -%}
        {%- if ns.place == 'node_id' -%}
            {%- set edges = 'select a, b from ' ~ links ~ ' where tier_rank <= 1' -%}
        {%- else -%}
            {%- set edges = 'select distinct least(from_places.' ~ ns.place ~ ', to_places.' ~ ns.place ~ ') as a, '
                ~ 'greatest(from_places.' ~ ns.place ~ ', to_places.' ~ ns.place ~ ') as b from ' ~ links ~ ' as links '
                ~ 'inner join ' ~ ns.placed ~ ' as from_places on links.a = from_places.node_id '
                ~ 'inner join ' ~ ns.placed ~ ' as to_places on links.b = to_places.node_id '
                ~ 'where links.tier_rank = ' ~ tier_ranks()[tier] ~ ' and from_places.' ~ ns.place ~ ' <> to_places.' ~ ns.place -%}
        {%- endif -%}
        {%- set labels = contraction_labels(made, prefix ~ '_' ~ tier, edges) -%}
        {%- if labels is none -%}
            {%- do ns.columns.append('places.' ~ ns.place ~ ' as ' ~ tier ~ '_id') -%}
            {%- set joined = '' -%}
        {%- else -%}
            {%- do ns.columns.append('coalesce(labels.label, places.' ~ ns.place ~ ') as ' ~ tier ~ '_id') -%}
            {%- set joined = ' left join ' ~ labels ~ ' as labels on places.' ~ ns.place ~ ' = labels.node_id' -%}
        {%- endif -%}
        {%- set ns.placed = scratch(made, prefix ~ '_placed_' ~ tier,
            'select ' ~ ns.columns | join(', ') ~ ' from ' ~ ns.placed ~ ' as places' ~ joined
        ) -%}
        {%- if ns.former -%}{%- do drop_scratch([ns.former]) -%}{%- endif -%}
        {%- set ns.former = ns.placed -%}
        {%- set ns.place = tier ~ '_id' -%}
        {%- do ns.columns.pop() -%}
        {%- do ns.columns.append('places.' ~ tier ~ '_id') -%}
    {%- endfor -%}
    {{ return(ns.placed) }}
{%- endmacro %}
