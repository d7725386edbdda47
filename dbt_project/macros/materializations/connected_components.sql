{#
  Labels each node of a graph with its connected component, by randomised contraction
  (Bögeholz, Brand and Todor 2018): every round each node joins the neighbour with the smallest
  hash of that round, the graph is contracted, and the loop ends when no edge is left. The number
  of rounds grows with the logarithm of the longest chain, whatever its order.

  The model's SQL selects `from_node` and `to_node` (strings; a node without neighbours appears as a
  pair with itself). The table has one row per node: `node`, `component` (the smallest node of its
  component, so the label does not depend on the engine, the hash or the order of rows).
  Inside the loop nodes are dense bigints.
#}
{% materialization connected_components, supported_languages=['sql'] %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing_relation = load_cached_relation(this) -%}
    {%- set max_rounds = config.get('max_rounds', 100) -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- set pairs = contraction_table('pairs', sql) -%}
    {%- set nodes = contraction_table(
        'nodes',
        'select node, row_number() over (order by node) as node_id from ('
        ~ 'select from_node as node from ' ~ pairs ~ ' union select to_node as node from ' ~ pairs
        ~ ') as all_nodes',
    ) -%}
    {%- set ns = namespace(
        round=0,
        edges=contraction_table(
            'edges_0',
            'select distinct least(from_nodes.node_id, to_nodes.node_id) as a, '
            ~ 'greatest(from_nodes.node_id, to_nodes.node_id) as b from ' ~ pairs ~ ' as pairs '
            ~ 'inner join ' ~ nodes ~ ' as from_nodes on pairs.from_node = from_nodes.node '
            ~ 'inner join ' ~ nodes ~ ' as to_nodes on pairs.to_node = to_nodes.node '
            ~ 'where pairs.from_node <> pairs.to_node',
        ),
        choices=[],
    ) -%}

    {%- for _ in range(max_rounds) if execute and contraction_edges_left(ns.edges) -%}
        {%- set choices = contraction_table(
            'choices_' ~ ns.round,
            'select node_id, min_by(neighbour_id, ' ~ node_hash('neighbour_id', ns.round) ~ ') as chosen_id '
            ~ 'from (select a as node_id, b as neighbour_id from ' ~ ns.edges
            ~ ' union all select b as node_id, a as neighbour_id from ' ~ ns.edges
            ~ ' union all select a as node_id, a as neighbour_id from ' ~ ns.edges
            ~ ' union all select b as node_id, b as neighbour_id from ' ~ ns.edges
            ~ ') as neighbours group by node_id',
        ) -%}
        {%- set contracted = contraction_table(
            'edges_' ~ (ns.round + 1),
            'select distinct least(a_choices.chosen_id, b_choices.chosen_id) as a, '
            ~ 'greatest(a_choices.chosen_id, b_choices.chosen_id) as b from ' ~ ns.edges ~ ' as edges '
            ~ 'inner join ' ~ choices ~ ' as a_choices on edges.a = a_choices.node_id '
            ~ 'inner join ' ~ choices ~ ' as b_choices on edges.b = b_choices.node_id '
            ~ 'where a_choices.chosen_id <> b_choices.chosen_id',
        ) -%}
        {%- do contraction_drop(ns.edges) -%}
        {%- do ns.choices.append(choices) -%}
        {%- set ns.edges = contracted -%}
        {%- set ns.round = ns.round + 1 -%}
    {%- endfor -%}

    {%- if execute and contraction_edges_left(ns.edges) -%}
        {{ exceptions.raise_compiler_error(
            'connected_components: ' ~ this ~ ' still has edges after ' ~ max_rounds
            ~ ' rounds; raise max_rounds in its config'
        ) }}
    {%- endif -%}
    {%- do log('connected_components ' ~ this ~ ': ' ~ ns.round ~ ' rounds', info=False) -%}

    {#- compose the rounds backwards: where did my choice of this round end up? -#}
    {%- set labels = namespace(relation=none) -%}
    {%- for choices in ns.choices | reverse -%}
        {%- if labels.relation is none -%}
            {%- set labels.relation = choices -%}
        {%- else -%}
            {%- set composed = contraction_table(
                'labels_' ~ loop.index,
                'select choices.node_id, coalesce(labels.chosen_id, choices.chosen_id) as chosen_id '
                ~ 'from ' ~ choices ~ ' as choices left join ' ~ labels.relation ~ ' as labels '
                ~ 'on choices.chosen_id = labels.node_id',
            ) -%}
            {%- do contraction_drop(labels.relation) -%}
            {%- do contraction_drop(choices) -%}
            {%- set labels.relation = composed -%}
        {%- endif -%}
    {%- endfor -%}

    {%- set components_sql -%}
        with labelled as (

            select
                nodes.node,
                nodes.node_id,
                {{ 'coalesce(labels.chosen_id, nodes.node_id)' if labels.relation else 'nodes.node_id' }} as label
            from {{ nodes }} as nodes
            {% if labels.relation %}
            left join {{ labels.relation }} as labels
                on nodes.node_id = labels.node_id
            {% endif %}

        ),

        components as (

            select
                label,
                min(node) as component
            from labelled
            group by label

        )

        select
            labelled.node,
            components.component
        from labelled
        inner join components
            on labelled.label = components.label
    {%- endset -%}

    {%- if existing_relation is not none and existing_relation.type != 'table' -%}
        {%- do adapter.drop_relation(existing_relation) -%}
    {%- elif existing_relation is not none and not adapter.type() == 'spark' -%}
        {%- do adapter.drop_relation(existing_relation) -%}
    {%- endif -%}
    {% call statement('main') -%}
        {{ create_table_as(False, target_relation, components_sql) }}
    {%- endcall %}

    {%- if labels.relation -%}{%- do contraction_drop(labels.relation) -%}{%- endif -%}
    {%- do contraction_drop(ns.edges) -%}
    {%- do contraction_drop(nodes) -%}
    {%- do contraction_drop(pairs) -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do persist_docs(target_relation, model) %}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{# Writes one step of the contraction and returns its relation. #}
{% macro contraction_table(suffix, query) -%}
    {{ return(adapter.dispatch('contraction_table', 'cdp')(suffix, query)) }}
{%- endmacro %}

{% macro default__contraction_table(suffix, query) -%}
    {%- set relation = api.Relation.create(identifier=this.identifier ~ '__' ~ suffix) -%}
    {%- do run_query('drop table if exists ' ~ relation) -%}
    {%- do run_query('create temporary table ' ~ relation ~ ' as ' ~ query) -%}
    {{ return(relation) }}
{%- endmacro %}

{# Spark's temporary views are lazy: a step that must not be computed again needs a table. #}
{% macro spark__contraction_table(suffix, query) -%}
    {%- set relation = api.Relation.create(schema=this.schema, identifier=this.identifier ~ '__' ~ suffix) -%}
    {%- do run_query('drop table if exists ' ~ relation) -%}
    {%- do run_query('create table ' ~ relation ~ ' using delta as ' ~ query) -%}
    {{ return(relation) }}
{%- endmacro %}

{% macro contraction_drop(relation) -%}
    {%- do run_query('drop table if exists ' ~ relation) -%}
{%- endmacro %}

{% macro contraction_edges_left(relation) -%}
    {{ return(run_query('select count(*) as edges_left from ' ~ relation).columns[0].values()[0] > 0) }}
{%- endmacro %}
