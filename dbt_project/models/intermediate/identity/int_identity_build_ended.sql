-- written when everything stands that this build or the next one takes from the last
{% for model in (
    'int_events_identified',
    'int_identity_assignments',
    'int_identity_decisions_applied',
    'int_identity_links_held',
    'identity_changes',
    'identity_graph',
    'identity_graph_history',
    'identity_redirects',
) %}
-- depends_on: {{ ref(model) }}
{% endfor %}
select
    build_id,
    is_full,
    is_full_because,
    as_of,
    (
        select max(assignments.build_number)
        from {{ ref('int_identity_assignments') }} as assignments
    ) as last_build_number
from {{ ref('int_identity_build_begun') }}
