{#
  Who is one person: labels every identifier with its component, under the rules of identity_rules.yml.

  The model's SQL selects the links: from_key, to_key (strings, each pair once), tier_rank (see `tier_ranks`),
  first_seen_at. The config names the model of the nodes (identifier_key, identifier_type, received_at,
  first_seen_at, last_seen_at) and that of the decisions (from_key, to_key, decision).

  The table has one row per node: `node`; `component`, the node of its component that was received first; `tier`, how
  surely the node belongs to the strongest identifier of its component: by the weakest link of the best way there.

  The components of all links are taken first, tier by tier. Where they keep every rule they stand. The others, few,
  are taken apart by `identity_apart`. What stands in the table is a function of nodes, links and decisions alone:
  not of the order of rows, the engine or its hash.
#}
{% materialization identity_components, supported_languages=['sql'] %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing_relation = load_cached_relation(this) -%}
    {%- set rules = identity_rules() -%}
    {%- set nodes_relation = ref(config.require('nodes')) -%}
    {%- set decisions_relation = ref(config.require('decisions')) -%}
    {%- set made = [] -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {#- dense numbers, in the order in which identifiers were received: the smallest of a component names it -#}
    {%- set type_no = [] -%}
    {%- for type in rules.types -%}
        {%- do type_no.append("when '" ~ type.name ~ "' then " ~ loop.index) -%}
    {%- endfor -%}
    {%- set nodes = scratch(made, 'nodes',
        'select row_number() over (order by received_at, identifier_key) as node_id, identifier_key as node, '
        ~ 'case identifier_type ' ~ type_no | join(' ') ~ ' end as type_no from ' ~ nodes_relation
    ) -%}
    {%- set links = scratch(made, 'links',
        'select from_nodes.node_id as a, to_nodes.node_id as b, links.tier_rank, links.first_seen_at from ('
        ~ sql ~ ') as links inner join ' ~ nodes ~ ' as from_nodes on links.from_key = from_nodes.node '
        ~ 'inner join ' ~ nodes ~ ' as to_nodes on links.to_key = to_nodes.node'
    ) -%}

    {#- tier by tier: each tier joins the components of the surer ones -#}
    {%- set ns = namespace(placed=none, at=['nodes.type_no']) -%}
    {%- for tier, most_rank in [('exact', 1), ('strict', 2), ('loose', 3)] -%}
        {%- if ns.placed is none -%}
            {%- set edges = 'select a, b from ' ~ links ~ ' where tier_rank <= ' ~ most_rank ~ ' and a <> b' -%}
        {%- else -%}
            {%- set edges = 'select distinct least(from_places.place_id, to_places.place_id) as a, '
                ~ 'greatest(from_places.place_id, to_places.place_id) as b from (select a, b from ' ~ links
                ~ ' where tier_rank = ' ~ most_rank ~ ') as links '
                ~ 'inner join ' ~ ns.placed ~ ' as from_places on links.a = from_places.node_id '
                ~ 'inner join ' ~ ns.placed ~ ' as to_places on links.b = to_places.node_id '
                ~ 'where from_places.place_id <> to_places.place_id' -%}
        {%- endif -%}
        {%- set labels = contraction_labels(made, tier, scratch(made, tier ~ '_edges', edges)) -%}
        {%- set before = 'nodes.node_id' if ns.placed is none else 'nodes.place_id' -%}
        {%- set columns = ['nodes.node_id'] + ns.at -%}
        {%- set place = 'coalesce(labels.label, ' ~ before ~ ')' if labels else before -%}
        {%- do columns.append(place ~ ' as ' ~ tier ~ '_id') -%}
        {%- do columns.append(place ~ ' as place_id') -%}
        {%- set ns.placed = scratch(made, 'placed_' ~ tier,
            'select ' ~ columns | join(', ') ~ ' from ' ~ (ns.placed or nodes) ~ ' as nodes'
            ~ (' left join ' ~ labels ~ ' as labels on ' ~ before ~ ' = labels.node_id' if labels else '')
        ) -%}
        {%- do ns.at.append('nodes.' ~ tier ~ '_id') -%}
    {%- endfor -%}

    {%- set apart = identity_apart(
        made, rules, nodes=nodes, links=links, placed=ns.placed,
        seen=nodes_relation, decisions=decisions_relation
    ) -%}
    {%- if apart is not none -%}
        {%- set ns.placed = scratch(made, 'placed_apart',
            'select placed.node_id, placed.type_no, coalesce(apart.exact_id, placed.exact_id) as exact_id, '
            ~ 'coalesce(apart.strict_id, placed.strict_id) as strict_id, '
            ~ 'coalesce(apart.loose_id, placed.loose_id) as loose_id from ' ~ ns.placed ~ ' as placed '
            ~ 'left join ' ~ apart ~ ' as apart on placed.node_id = apart.node_id'
        ) -%}
    {%- endif -%}

    {#- the strongest identifier of each component, the first received among equals, is its anchor -#}
    {%- set strength = 'type_no * 1000000000000 + node_id' -%}
    {%- set components = scratch(made, 'components',
        'select loose_id, min(node_id) as founder_id, min_by(exact_id, ' ~ strength ~ ') as exact_id, '
        ~ 'min_by(strict_id, ' ~ strength ~ ') as strict_id from ' ~ ns.placed ~ ' group by loose_id'
    ) -%}

    {%- if existing_relation is not none -%}{%- do adapter.drop_relation(existing_relation) -%}{%- endif -%}
    {%- set components_sql -%}
        select
            nodes.node,
            founders.node as component,
            case
                when placed.exact_id = components.exact_id then 'exact'
                when placed.strict_id = components.strict_id then 'strict'
                else 'loose'
            end as tier
        from {{ ns.placed }} as placed
        inner join {{ nodes }} as nodes
            on placed.node_id = nodes.node_id
        inner join {{ components }} as components
            on placed.loose_id = components.loose_id
        inner join {{ nodes }} as founders
            on components.founder_id = founders.node_id
    {%- endset -%}
    {% call statement('main') -%}
        {{ create_table_as(False, target_relation, components_sql) }}
    {%- endcall %}
    {%- do drop_scratch(made) -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do persist_docs(target_relation, model) %}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
