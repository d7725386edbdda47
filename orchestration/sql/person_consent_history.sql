-- Every answer and every piece of consent evidence for the addresses of one person, oldest first.
select
    consent_history.consent_changed_at,
    consent_history.channel,
    consent_history.purpose,
    consent_history.status,
    consent_history.capture_method,
    consent_history.legal_basis,
    identity_graph.identifier_type,
    identity_graph.identifier_value,
    consent_history.source_system,
    consent_history.source_record,
    consent_history.policy_version,
    consent_history.recorded_at
from marts.consent_history
inner join marts.identity_graph
    on consent_history.identifier_key = identity_graph.identifier_key
where identity_graph.canonical_id = $canonical_id
order by
    consent_history.consent_changed_at,
    consent_history.channel,
    consent_history.consent_event_id,
    identity_graph.identifier_key
