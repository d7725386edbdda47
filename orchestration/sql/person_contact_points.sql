-- Each address of one person at each channel, with its decision and the consent record behind it.
select
    contact_points.channel,
    contact_points.purpose,
    contact_points.identifier_type,
    contact_points.identifier_value,
    contact_points.decision,
    contact_points.rule,
    contact_points.is_preferred,
    contact_points.country_code,
    contact_points.policy_version,
    consent_states.status as consent_status,
    consent_states.last_changed_at as consent_changed_at,
    consent_states.source_system as consent_source,
    consent_states.source_record as consent_record,
    suppressions.reason as suppression_reason,
    suppressions.suppressed_at
from marts.contact_points
left join marts.consent_states
    on
        contact_points.identifier_key = consent_states.identifier_key
        and contact_points.channel = consent_states.channel
        and contact_points.purpose = consent_states.purpose
left join marts.suppressions
    on
        contact_points.identifier_key = suppressions.identifier_key
        and contact_points.channel = suppressions.channel
where contact_points.canonical_id = $canonical_id
order by contact_points.channel, contact_points.is_preferred desc, contact_points.identifier_value
