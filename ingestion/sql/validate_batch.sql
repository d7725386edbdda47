-- Text that may not have been a JSON string (an object, an array, true, false, a number that is not a whole
-- number of at most 15 digits), or that may be blank.
create or replace temp macro is_odd(value) as coalesce(
    regexp_matches(value, '^([\x00-\x20\[{-]|$|true$|false$|[0-9]+[.eE][0-9.eE+-]*$|[0-9]{16})'),
    false
);

-- Reads the envelope of every line of a batch and says of which lines it is not sure (`is_doubtful`).
-- A line that is not doubtful is one that ingestion/inspection.py accepts as far as the envelope goes;
-- the tests hold the two against each other. DuckDB's JSON reader also takes NaN, Infinity, trailing commas,
-- any depth and any number: lines that could hold one of them are doubtful. Each pattern begins with a literal
-- character, because the search is then several times faster.
with messages as (
    select
        line_number,
        source_system,
        raw,
        try_cast(received_text as timestamp) as received_at,
        try(json_transform(
            raw,
            '{"messageId": "VARCHAR", "type": "VARCHAR", "event": "VARCHAR", "timestamp": "VARCHAR",
              "originalTimestamp": "VARCHAR", "userId": "VARCHAR", "anonymousId": "VARCHAR", "channel": "VARCHAR",
              "context": {"groupId": "VARCHAR", "sessionId": "VARCHAR", "traceId": "VARCHAR",
                          "campaign": {"name": "VARCHAR"}, "consent": "JSON"},
              "properties": "JSON", "traits": "JSON"}'
        )) as message,
    from lines
),

envelopes as (
    select
        messages.line_number,
        messages.source_system,
        messages.raw,
        messages.received_at,
        calls.contract_index,
        messages.message.messageId as event_id,
        coalesce(messages.message.timestamp, messages.message.originalTimestamp) as occurred_text,
        messages.message.userId as user_id,
        messages.message.context.groupId as account_id,
        messages.message.anonymousId as anonymous_id,
        messages.message.context.traceId as trace_id,
        messages.message.context.sessionId as session_id,
        messages.message.channel as channel,
        messages.message.context.campaign.name as campaign_id,
        messages.message.context.consent as consent,
        case messages.message.type
            when 'identify' then messages.message.traits else messages.message.properties
        end as properties,
    from messages
    left join calls
        on messages.source_system = calls.source_system
        and messages.message.type = calls.call_type
        and case messages.message.type when 'track' then messages.message.event else '' end = calls.event_name
),

timed as (
    select
        envelopes.* exclude (occurred_text),
        case
            when regexp_full_match(
                occurred_text,
                '\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z'
            ) then try_cast(substr(occurred_text, 1, 23) as timestamp)
        end as occurred_at,
    from envelopes
)

select
    timed.* exclude (raw),
    coalesce(
        contract_index is null
        or received_at is null
        or occurred_at is null
        or occurred_at < timestamp '2000-01-01'
        or occurred_at > received_at + interval 24 hours
        or event_id is null
        or coalesce(user_id, anonymous_id, account_id) is null
        or properties is null
        or length(raw) > 2048
        or regexp_matches(raw, ':\s*-?([nN][aA][nN]|[iI][nN][fF]|[0-9.]+[eE]|[0-9.]{18})')
        or regexp_matches(raw, ',\s*([\]}]|-?([nN][aA][nN]|[iI][nN][fF]|[0-9.]+[eE]|[0-9.]{18}))')
        or regexp_matches(raw, '\[\s*-?([nN][aA][nN]|[iI][nN][fF]|[0-9.]+[eE]|[0-9.]{18})')
        or is_odd(event_id)
        or is_odd(user_id)
        or is_odd(account_id)
        or is_odd(anonymous_id)
        or is_odd(trace_id)
        or is_odd(session_id)
        or is_odd(channel)
        or is_odd(campaign_id),
        true
    ) as is_doubtful,
from timed
