{#
  Labels the connected components of a graph by randomised contraction (Bögeholz, Brand and Todor 2018): every
  round each node joins the neighbour with the smallest hash of that round, or stays when its own is smaller; the
  graph is contracted, and the loop ends when no edge is left. The number of rounds grows with the logarithm of the
  longest chain, whatever its order.

  `edges` is SQL of bigint pairs (a, b), a <> b, each once. Returns a relation (node_id, label) with a row for each node
  that has an edge, or none when there are no edges. A label is some node of the component, no more: it depends on
  the engine's hash.
#}
{% macro contraction_labels(made, prefix, edges, max_rounds=200) -%}
    {%- set start = counted_scratch(made, prefix ~ '_edges', edges) -%}
    {%- set ns = namespace(round=0, edges=start[0], edge_count=start[1], choices=[], labels=none, spent=[start[0]]) -%}
    {%- for _ in range(max_rounds) -%}
        {%- if ns.edge_count == 0 -%}{%- break -%}{%- endif -%}
        {%- set choices = scratch(made, prefix ~ '_choices_' ~ ns.round,
            'select node_id, case when ' ~ node_hash('node_id', ns.round) ~ ' <= min(neighbour_hash) then node_id '
            ~ 'else min_by(neighbour_id, neighbour_hash) end as label from ('
            ~ 'select a as node_id, b as neighbour_id, ' ~ node_hash('b', ns.round) ~ ' as neighbour_hash from ' ~ ns.edges
            ~ ' union all select b as node_id, a as neighbour_id, ' ~ node_hash('a', ns.round) ~ ' as neighbour_hash from '
            ~ ns.edges ~ ') as neighbours group by node_id',
        ) -%}
        {%- set contracted = counted_scratch(made, prefix ~ '_edges_' ~ (ns.round % 2),
            'select distinct least(a_choices.label, b_choices.label) as a, '
            ~ 'greatest(a_choices.label, b_choices.label) as b from ' ~ ns.edges ~ ' as edges '
            ~ 'inner join ' ~ choices ~ ' as a_choices on edges.a = a_choices.node_id '
            ~ 'inner join ' ~ choices ~ ' as b_choices on edges.b = b_choices.node_id '
            ~ 'where a_choices.label <> b_choices.label',
        ) -%}
        {%- set ns.edges, ns.edge_count = contracted[0], contracted[1] -%}
        {%- do ns.spent.append(ns.edges) -%}
        {%- do ns.choices.append(choices) -%}
        {%- set ns.round = ns.round + 1 -%}
    {%- endfor -%}
    {%- if ns.edge_count > 0 -%}
        {{ exceptions.raise_compiler_error(this ~ ' still has edges after ' ~ max_rounds ~ ' rounds of contraction') }}
    {%- endif -%}
    {#- compose the rounds backwards: where did my choice of this round end up? -#}
    {%- for choices in ns.choices | reverse -%}
        {%- set ns.labels = choices if ns.labels is none else scratch(made, prefix ~ '_labels_' ~ (loop.index % 2),
            'select choices.node_id, coalesce(labels.label, choices.label) as label '
            ~ 'from ' ~ choices ~ ' as choices left join ' ~ ns.labels ~ ' as labels '
            ~ 'on choices.label = labels.node_id',
        ) -%}
    {%- endfor -%}
    {#- what only this needed gives its memory back -#}
    {%- do drop_scratch((ns.spent + ns.choices) | unique | reject('equalto', ns.labels) | list) -%}
    {{ return(ns.labels) }}
{%- endmacro %}
