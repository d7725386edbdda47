"""The mutants of delivery: each takes one safeguard away, and names the tests of which one must fail.

A change is the text that is replaced and what takes its place, in one file of the repository. A text that is not
found exactly once is an error: the table is mended together with the code.
"""
# ruff: noqa: E501 - a line of the table is as long as the code that it changes

from dataclasses import dataclass

LEDGER, FAILURES, ZOMBIES = (f"tests/activation/test_{name}.py" for name in ("ledger", "failures", "zombies"))
PLANS, PROJECTION, RUNS = (
    f"tests/activation/test_{name}.py" for name in ("plans", "projection", "sync_runs")
)
BREAKER, CONCURRENCY = (f"tests/activation/test_{name}.py" for name in ("breaker", "concurrency"))
UNDO, APPEND, RECEIPTS = (f"tests/activation/test_{name}.py" for name in ("undo", "append", "receipts"))
MEMBERS = "tests/activation/test_batch_members.py"
SAFEGUARDS = "tests/activation/test_safeguards.py"
LISTING = "tests/activation/test_listing.py"
SIMULATION = "tests/campaigns/test_delivery_simulation.py"
NEVER = "if False:"


@dataclass(frozen=True)
class Mutant:
    """One safeguard taken away; `is_quick` ones are tried by `make test-slow` too."""

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]
    is_quick: bool = False


def mutant(name: str, file: str, old: str, new: str, *tests: str, is_quick: bool = False) -> Mutant:
    """A mutant of one change."""
    return Mutant(name, f"activation/{file}", ((old, new),), tests, is_quick)


IN_FLIGHT = (
    Mutant(
        "in flight is committed only with the next transaction",
        "activation/ledger_sqlite.py",
        (
            (
                '        connection.execute("begin immediate")\n        return',
                '        if connection.in_transaction:\n            connection.execute("commit")\n'
                '        connection.execute("begin immediate")\n        return',
            ),
            (
                '        connection.execute("begin")\n        return',
                '        if connection.in_transaction:\n            connection.execute("commit")\n'
                '        connection.execute("begin")\n        return',
            ),
            ('        self._opened().execute("commit")\n', "        self._opened()\n"),
        ),
        (f"{LEDGER}::test_what_is_in_flight_is_on_disk_before_the_claim_returns",),
        is_quick=True,
    ),
    mutant(
        "a commit does not wait for the disk", "ledger_sqlite.py",
        "pragma synchronous = full", "pragma synchronous = off",
        f"{SAFEGUARDS}::test_a_commit_waits_for_the_disk",
    ),
    mutant(
        "a late result counts", "outcomes.py",
        "where batch_id = ? and token = ? and state = 'in_flight'",
        "where batch_id = ? and ? > 0 and state = 'in_flight'", f"{LEDGER}::test_a_worker_that_lost_its_lease_cannot_write_an_outcome", is_quick=True,
    ),
    mutant(
        "a late result is not kept", "outcomes.py",
        "        note_attempt(transaction, claimed.batch.batch_id, claimed.token, found, reason=reason, now=now)\n        if owned",
        "        if owned is not None:\n            note_attempt(\n                transaction, claimed.batch.batch_id, claimed.token, found, reason=reason, now=now\n            )\n        if owned",
        f"{LEDGER}::test_a_worker_that_lost_its_lease_cannot_write_an_outcome",
    ),
    mutant(
        "a batch is sent after its lease was lost", "claims.py",
        "        if row is None:\n            return False\n", "        if row is None:\n            return True\n", f"{ZOMBIES}::test_a_worker_that_stood_still_past_its_lease_sends_nothing",
    ),
    mutant(
        "an attempt is not noted anew", "claims.py",
        "FRESH = timedelta(seconds=1)", "FRESH = timedelta(days=1)", f"{ZOMBIES}::test_a_worker_that_stood_still_and_still_has_its_batch_renews_its_lease",
    ),
    mutant(
        "a lease never ends", "claims.py",
        "or lease_until <= moment or not", "or not", f"{LEDGER}::test_a_worker_that_lost_its_lease_cannot_write_an_outcome",
    ),
    mutant(
        "a batch is stranded while its worker has it", "claims.py",
        'if state == "unknown" or lease_until <= moment or not worker.is_alive(owner)', "if state",
        f"{LEDGER}::test_a_batch_of_a_living_worker_is_left_alone_until_its_lease_ends",
    ),
    mutant(
        "a dead worker's batch waits for its lease", "claims.py",
        " or not worker.is_alive(owner)", "", f"{LEDGER}::test_a_batch_of_a_living_worker_is_left_alone_until_its_lease_ends",
    ),
    mutant(
        "two may take over one batch", "claims.py",
        "where batch_id = ? and token = ? and state <> 'settled'",
        "where batch_id = ? and ? > 0 and state <> 'settled'", f"{LEDGER}::test_a_stranded_batch_is_taken_over_by_one_only",
    ),
    mutant(
        "a settled batch is taken over", "claims.py",
        "where batch_id = ? and token = ? and state <> 'settled'",
        "where batch_id = ? and token = ?", f"{SAFEGUARDS}::test_a_settled_batch_is_never_taken_over",
    ),
    mutant(
        "what nothing can settle is not listed", "delivery.py",
        "if doubt.sends or (doubt.batch.is_listed and not knows_keys):", "if doubt.sends or not knows_keys:",
        f"{ZOMBIES}::test_what_a_dead_worker_left_at_an_opaque_destination_is_listed_and_a_person_closes_it",
    ),
    mutant(
        "a process is taken for one that had its number before", "workers.py",
        "    return _start_of(int(pid)) == start\n", "    return True\n", f"{SAFEGUARDS}::test_a_process_is_known_by_its_start_and_only_on_its_host",
    ),
    mutant(
        "a dead process lives", "workers.py",
        "    except ProcessLookupError:\n        return False\n",
        "    except ProcessLookupError:\n        return True\n", f"{SAFEGUARDS}::test_a_process_is_known_by_its_start_and_only_on_its_host",
    ),
    mutant(
        "a worker on another host is dead", "workers.py",
        "if host != socket.gethostname() or not pid.isdigit():\n        return True",
        "if host != socket.gethostname() or not pid.isdigit():\n        return False", f"{SAFEGUARDS}::test_a_process_is_known_by_its_start_and_only_on_its_host",
    ),
)  # fmt: skip

AMBIGUITY = (
    mutant(
        "a key is trusted beyond its life", "delivery.py",
        "SAFE_SHARE_OF_LIFETIME = 0.8", "SAFE_SHARE_OF_LIFETIME = 1.3", f"{FAILURES}::test_an_old_key_is_not_trusted_any_more_but_read_back_first",
    ),
    mutant(
        "a key is trusted to the last minute of its life", "delivery.py",
        "SAFE_SHARE_OF_LIFETIME = 0.8", "SAFE_SHARE_OF_LIFETIME = 1.0", f"{FAILURES}::test_an_old_key_is_not_trusted_any_more_but_read_back_first",
    ),
    mutant(
        "a key's age is not looked at just before a repeat", "delivery.py",
        "            raise _UnsentError(before)\n",
        "            pass\n", f"{ZOMBIES}::test_a_repeat_whose_key_grew_old_on_the_way_is_not_sent",
    ),
    mutant(
        "a read does not wait for what is on its way", "delivery.py",
        "await self._engine.pause(settled_at - self._engine.clock())", "pass", f"{FAILURES}::test_a_read_waits_for_what_was_on_its_way_when_its_worker_died", is_quick=True,
    ),
    mutant(
        "not there is believed at once", "delivery.py",
        "if sent.kind is OutcomeKind.UNKNOWN and read.kind is OutcomeKind.DELIVERED else sent",
        "if sent.kind is OutcomeKind.UNKNOWN else sent", f"{SIMULATION}::test_whatever_happens_nothing_is_lost_done_twice_or_sent_past_the_gate[readable]",
    ),
    mutant(
        "a refused repeat counts as not done", "delivery.py",
        "    if before.kind is OutcomeKind.UNKNOWN and answer.kind is OutcomeKind.DEFERRED and answer.concerns_batch:\n",
        "    if False:\n", f"{ZOMBIES}::test_a_repeat_that_is_refused_says_nothing_about_what_came_before_it",
    ),
    mutant(
        "a refusal in recovery counts as not done", "delivery.py",
        "before=before)", "before=doubt.outcomes or None)", f"{ZOMBIES}::test_a_refusal_during_recovery_settles_nothing",
    ),
    Mutant(
        "recovery asks the gate before it waits, and not after",
        "activation/delivery.py",
        (
            ("        if self._may_send_again(doubt) == may_send:", "        if True:"),
            ("        if may_send and not self._may_send_again(doubt):", f"        {NEVER}"),
        ),
        (f"{ZOMBIES}::test_who_withdraws_while_recovery_waits_for_room_is_not_sent_again",),
    ),
    mutant(
        "the same key carries another body", "claims.py",
        '",".join([f"{row.operation_id}:{row.attempts}" for row in members])', 'members[0].operation_id', f"{SAFEGUARDS}::test_another_body_has_another_key",
    ),
    mutant(
        "what was put off comes with the key that it was put off with", "claims.py",
        'f"{row.operation_id}:{row.attempts}" for row', 'f"{row.operation_id}" for row', f"{SAFEGUARDS}::test_a_request_that_was_refused_as_a_whole_keeps_its_key_and_a_row_that_was_put_off_gets_another",
    ),
    mutant(
        "a batch is taken apart while a part of it is unknown", "outcomes.py",
        "if outcome.kind is OutcomeKind.UNKNOWN or has_unknown:", "if outcome.kind is OutcomeKind.UNKNOWN:",
        f"{SAFEGUARDS}::test_while_a_part_is_unknown_the_batch_stays_whole",
    ),
    mutant(
        "a batch that is refused as a whole is not halved", "delivery.py",
        "if _is_refused_whole(outcomes) and len(outcomes) > 1:", NEVER, f"{FAILURES}::test_one_bad_row_that_spoils_the_whole_request_is_found_by_halving",
    ),
    mutant(
        "refused credentials stop nothing", "delivery.py",
        "        if any(outcome.stops_destination for outcome in outcomes):", f"        {NEVER}", f"{FAILURES}::test_refused_credentials_stop_the_sync_and_reject_nobody",
    ),
    mutant(
        "a batch is sent again one of whose members was given up", "claims.py",
        "        if given_up is not None:\n", f"        {NEVER}\n", f"{MEMBERS}::test_a_batch_is_not_sent_again_once_a_member_was_given_up",
    ),
    mutant(
        "a closed doubt is counted on", "dead_letters.py",
        "        count_run(transaction, sync_run_id, now=now)\n", "        transaction.touch_run(sync_run_id)\n", f"{MEMBERS}::test_a_closed_doubt_is_not_counted_as_one_any_more",
    ),
    mutant(
        "what was delivered in a batch that a person closed keeps its payload", "dead_letters.py",
        "        let_go(transaction, batch_id)\n", "        pass\n", f"{MEMBERS}::test_no_payload_is_kept_once_a_doubt_is_closed",
    ),
    mutant(
        "what is put off is put off for ever", "sql/dead_letters.sql",
        "and attempts >= :max_attempts", "and attempts > :max_attempts * 1000", f"{SAFEGUARDS}::test_what_is_put_off_too_often_is_given_up",
    ),
    mutant(
        "what is rejected counts as acknowledged", "sql/acknowledge_writes.sql",
        "and state = 'delivered'", "and state in ('delivered', 'rejected')", f"{RUNS}::test_a_rejected_row_is_sent_once_and_the_others_are_delivered",
    ),
    mutant(
        "what is put off or in doubt counts as acknowledged", "sql/acknowledge_writes.sql",
        "and state = 'delivered'", "and state in ('delivered', 'deferred', 'in_doubt')", f"{SAFEGUARDS}::test_what_was_put_off_or_has_no_answer_is_not_acknowledged",
    ),
    mutant(
        "who may be there is forgotten once her doubt is closed", "sql/doubts_given_up.sql",
        "and (intents.operation = 'send' or intents.holds = 1)", "and intents.operation = 'send'",
        f"{UNDO}::test_who_may_have_arrived_and_opts_out_is_removed_once_the_doubt_is_closed",
    ),
    mutant(
        "a batch is sent again with somebody denied who was answered for", "sql/denied_members.sql",
        "    and members.lane <> 0\n", "    and members.lane <> 0 and members.state in ('in_flight', 'in_doubt')\n",
        f"{MEMBERS}::test_a_batch_is_not_sent_again_with_somebody_denied_who_was_answered_for",
    ),
    mutant(
        "who is denied is removed while she may still arrive", "sql/doubts_of_denied.sql",
        "last_attempt_at <= :sent_before", "last_attempt_at <= :now",
        f"{UNDO}::test_who_is_in_doubt_and_opts_out_is_removed_without_a_person",
    ),
    mutant(
        "who is denied is removed while what was accepted may still be done", "sql/doubts_of_denied.sql",
        "accepted_at <= :accepted_before", "accepted_at <= :now",
        f"{RECEIPTS}::test_who_opts_out_whose_receipt_was_forgotten_is_not_removed_while_she_may_still_arrive",
    ),
    mutant(
        "the removal of who is denied waits for a person", "resolving.py",
        "        give_up_denied(ledger, sync", "        False and give_up_denied(ledger, sync",
        f"{UNDO}::test_who_is_in_doubt_and_opts_out_is_removed_without_a_person",
    ),
    mutant(
        "a message whose doubt was closed is sent again", "sql/doubts_given_up.sql",
        "and (intents.operation = 'send' or intents.holds = 1)", "and intents.operation <> 'send' and intents.holds = 1",
        f"{APPEND}::test_what_is_in_doubt_is_never_sent_again_not_even_when_a_person_closes_it",
    ),
    mutant(
        "a removal that is in doubt counts as done", "sql/acknowledge_removals.sql",
        "and state = 'delivered'", "and state in ('delivered', 'deferred', 'in_doubt')", f"{SAFEGUARDS}::test_a_removal_without_an_answer_leaves_the_member_acknowledged",
    ),
    mutant(
        "what is accepted counts as delivered", "outcomes.py",
        '        return "accepted", 0, None\n', '        return "delivered", 0, to_micros(now)\n', f"{SAFEGUARDS}::test_what_is_accepted_is_not_acknowledged",
    ),
)  # fmt: skip

GATE = (
    mutant(
        "recovery repeats on denials of any age", "claims.py",
        "if age is None or age > denials_max_age:", NEVER,
        f"{SAFEGUARDS}::test_on_denials_that_are_too_old_recovery_repeats_removals_and_nothing_else",
    ),
    mutant("a pause stops nobody", "claims.py", "        if reason is not None:\n", f"        {NEVER}\n", f"{SAFEGUARDS}::test_during_a_pause_nothing_is_claimed_and_nothing_is_lost"),
    mutant(
        "no route sends", "claims.py",
        'if route != "live":', 'if route not in ("live", None):', f"{LEDGER}::test_no_route_row_means_no_send",
    ),
    mutant("every route sends", "claims.py", 'if route != "live":', "if route is None:", f"{RUNS}::test_a_route_that_is_not_live_sends_nothing"),
    mutant(
        "a denied address is sent", "sql/claim_candidates.sql",
        "denials.identifier_key = candidates.identifier_key", "false", f"{LEDGER}::test_a_denial_stops_whom_it_names", is_quick=True,
    ),
    mutant(
        "a denied person is sent", "sql/claim_candidates.sql",
        "denials.canonical_id = candidates.canonical_id", "false", f"{LEDGER}::test_a_denial_stops_whom_it_names",
    ),
    mutant(
        "a cap is not kept", "sql/claim_candidates.sql",
        "caps.max_operations <= (", "caps.max_operations * 1000 <= (", f"{LEDGER}::test_a_cap_holds_back_the_person_and_gives_back_what_was_not_used",
    ),
    mutant(
        "denials may be as old as they like", "claims.py",
        "if lane == WRITES and (stale :=", "if lane == 7 and (stale :=", f"{LEDGER}::test_stale_denials_hold_additions_back_but_not_removals",
    ),
    mutant(
        "additions leave before removals", "claims.py",
        "for lane in (REMOVALS, WRITES):", "for lane in (WRITES, REMOVALS):", f"{LEDGER}::test_stale_denials_hold_additions_back_but_not_removals",
    ),
    mutant(
        "a removal is held up by a denial", "sql/claim_candidates.sql",
        "when :lane = 0 then null", "when :lane = 7 then null", f"{RUNS}::test_a_removal_passes_a_denial",
    ),
    mutant(
        "the denied are sent again in recovery", "claims.py",
        "    return denied is None\n", "    return True\n", f"{FAILURES}::test_someone_denied_while_in_doubt_is_read_back_and_not_sent_again",
    ),
    mutant(
        "recovery sends on every route and in a pause", "claims.py",
        "            return False\n        given_up = connection", "            pass\n        given_up = connection", f"{SAFEGUARDS}::test_in_a_pause_or_on_another_route_recovery_sends_nothing",
    ),
    mutant(
        "an old build of the marts lifts denials", "gate.py",
        "is_behind = former is not None and former[0] > mark", "is_behind = False", f"{LEDGER}::test_a_refresh_that_is_behind_adds_and_lifts_nothing",
    ),
    mutant(
        "a build lifts what it has not seen", "sql/denials_lift.sql",
        "(feed = :feed or denied_at <= :watermark)", "true", f"{LEDGER}::test_only_marts_that_have_seen_a_withdrawal_may_lift_it",
    ),
    mutant(
        "a route can be rewritten", "sql/ledger_triggers_sqlite.sql",
        "begin select raise(abort, 'routes are changed only by appending'); end;\n\ncreate trigger routes_never_leave",
        "begin select 1; end;\n\ncreate trigger routes_never_leave",
        f"{LEDGER}::test_routes_are_only_ever_appended",
    ),
    mutant(
        "a batch grows beyond the destination's bytes", "claims.py",
        "(size > max_bytes or ", "(", f"{LEDGER}::test_a_batch_ends_before_the_byte_limit",
    ),
)  # fmt: skip

PLANNING = (
    mutant(
        "a plan of an outdated picture is written", "intents.py",
        "    if moved:\n", f"    {NEVER}\n", f"{LEDGER}::test_a_plan_made_before_another_delivery_is_refused", is_quick=True,
    ),
    mutant(
        "a plan may have a key twice", "sql/ledger_schema.sql",
        "create unique index intents_by_key", "create index intents_by_key", f"{SAFEGUARDS}::test_a_key_has_one_open_operation_at_most",
    ),
    mutant(
        "a key may have a second open operation", "intents.py",
        "    if unsettled:\n", f"    {NEVER}\n", f"{MEMBERS}::test_a_key_without_an_answer_gets_no_second_operation",
    ),
    mutant(
        "what is claimed can be claimed again", "claims.py",
        "(taken[-1] + 1, taken[-1] + 1,", "(taken[0], taken[0],", f"{MEMBERS}::test_no_operation_is_in_two_batches",
    ),
    mutant(
        "two batches may begin with one operation", "sql/ledger_schema.sql",
        "create unique index batches_by_first_operation", "create index batches_by_first_operation", f"{MEMBERS}::test_no_two_batches_begin_with_one_operation",
    ),
    mutant(
        "what the gate kept out is a member of the batch around it", "sql/ledger_schema.sql",
        "where outcomes.operation_number = intents.operation_number\n    ) is null\nunion all\nselect\n    outcomes.batch_id,", "where false\n    ) is null\nunion all\nselect\n    outcomes.batch_id,", f"{MEMBERS}::test_whom_the_gate_keeps_out_of_the_middle_of_a_batch_is_no_member_of_it",
    ),
    mutant(
        "a second answer takes back what the first one said", "sql/outcome_update.sql",
        "answered_at is null\n", "true\n", f"{MEMBERS}::test_what_was_delivered_stays_so_whatever_a_repeat_is_told",
    ),
    mutant(
        "what fared otherwise is delivered with its batch", "outcomes.py",
        "    if changes:\n", f"    {NEVER}\n", f"{RUNS}::test_a_rejected_row_is_sent_once_and_the_others_are_delivered",
    ),
    mutant(
        "what is delivered at the second try stays put off", "outcomes.py",
        "    if delivered and _has_outcomes(", "    if False and _has_outcomes(", f"{MEMBERS}::test_what_is_put_off_is_delivered_at_the_second_try",
    ),
    mutant(
        "a batch holds operations of two runs", "claims.py",
        " or row.sync_run_id != candidates[0].sync_run_id)", ")", f"{MEMBERS}::test_a_batch_is_of_one_run",
    ),
    mutant(
        "an operation is named without its ledger", "intents.py",
        'occurrence=f"{ledger_id}:{run_number}"', 'occurrence=f"{run_number}"', f"{SAFEGUARDS}::test_no_run_and_no_ledger_repeats_the_name_of_an_operation",
    ),
    mutant(
        "an operation is named without its run", "intents.py",
        'occurrence=f"{ledger_id}:{run_number}"', "occurrence=ledger_id", f"{SAFEGUARDS}::test_no_run_and_no_ledger_repeats_the_name_of_an_operation",
    ),
    mutant(
        "the same plan twice is two runs", "intents.py",
        "        if resumed is not None:\n", f"        {NEVER}\n", f"{SAFEGUARDS}::test_two_schedulers_with_one_tick_write_its_intents_once",
    ),
    mutant(
        "what is in doubt is planned again", "sql/plan_state_projected.sql",
        "state in ('in_flight', 'accepted', 'in_doubt')", "state in ('accepted')", f"{FAILURES}::test_what_another_worker_has_in_flight_is_neither_planned_nor_sent",
    ),
    mutant(
        "a preview plans what is in doubt again", "sql/ledger_blocked.sql",
        "where sync_name = :sync_name\nunion", "where false and sync_name = :sync_name\nunion", f"{MEMBERS}::test_a_preview_holds_back_what_has_no_answer",
    ),
    mutant(
        "what was rejected is planned again", "sql/plan_state_projected.sql",
        "state = 'rejected' and holds = 1", "false and holds = 1", f"{RUNS}::test_a_rejected_row_is_sent_once_and_the_others_are_delivered",
    ),
    mutant(
        "another ledger is followed", "projection.py",
        "if state[0] != ledger_id or state[1] > ledger_seq:", "if state[1] > ledger_seq:",
        f"{SAFEGUARDS}::test_another_ledger_is_refused_although_it_is_further",
    ),
    mutant(
        "an older ledger is followed", "projection.py",
        "if state[0] != ledger_id or state[1] > ledger_seq:", "if state[0] != ledger_id:",
        f"{PROJECTION}::test_a_ledger_older_than_the_picture_is_refused",
    ),
    mutant(
        "a restored warehouse keeps who was removed", "projection.py",
        "is_redrawn = seen < pruned_to", "is_redrawn = False",
        f"{PROJECTION}::test_a_warehouse_restored_from_before_a_removal_forgets_the_removed",
    ),
    mutant("a plan that was closed is applied", "plans.py", "    if stored.state not in (OPEN, APPROVED) and not goes_on:\n", f"    {NEVER}\n", f"{SAFEGUARDS}::test_a_plan_that_was_put_away_is_not_applied"),
    mutant("an approval holds for ever", "plans.py", "    if now - since > timedelta(hours=sync.approval.valid_hours):\n", f"    {NEVER}\n", f"{PLANS}::test_an_approval_does_not_hold_for_ever"),
    mutant("another file is applied", "plans.py", "    if stored.definition_hash != sync.definition_hash:\n", f"    {NEVER}\n", f"{PLANS}::test_definitions_that_changed_are_refused"),
    mutant("another destination is applied to", "plans.py", "    if stored.destination_hash != destination_hash(sync):\n", f"    {NEVER}\n", f"{PLANS}::test_definitions_that_changed_are_refused"),
    mutant("another route is applied on", "plans.py", "    if stored.route not in (None, route):\n", f"    {NEVER}\n", f"{PLANS}::test_a_route_that_changed_is_refused"),
    mutant("a new guard is ignored", "plans.py", "if not guard.can_be_approved or guard.name not in stored.guard_names:", NEVER, f"{PLANS}::test_a_guard_that_was_not_there_when_it_was_approved_stops_it"),
    mutant("other data are applied", "plans.py", "    if movement.came + movement.gone > allowed:\n", f"    {NEVER}\n", f"{PLANS}::test_data_that_moved_beyond_the_tolerance_is_refused"),
    mutant("what nobody can approve is approved", "plans.py", '        if not guard["can_be_approved"]:\n', f"        {NEVER}\n", f"{SAFEGUARDS}::test_what_a_guard_stops_for_good_nobody_can_approve"),
    mutant("a plan is applied that nobody approved", "engine.py", "if stored.state == plans.OPEN and stored.guard_names:", NEVER, f"{SAFEGUARDS}::test_a_stopped_plan_that_nobody_approved_is_not_applied"),
    mutant("a guard holds opt-outs up", "sql/plan_operations.sql", "and (is_opt_out or not $only_opt_outs)", "and not $only_opt_outs", f"{RUNS}::test_too_many_removals_stop_and_opt_outs_leave_all_the_same"),
)  # fmt: skip

GUARDS = (
    mutant("an empty source stops nobody", "guards.py", 'if counts["acknowledged"] and not counts["desired_rows"] and counts["removes"]:', NEVER, f"{RUNS}::test_an_empty_source_stops_the_sync_until_somebody_says_yes"),
    mutant("opt-outs count as removals", "guards.py", 'counts["removes"] - counts["opt_outs"], guards', 'counts["removes"], guards', f"{SAFEGUARDS}::test_no_guard_counts_opt_outs"),
    mutant("too many operations stop nobody", "guards.py", "        if count > allowed:\n", f"        {NEVER}\n", f"{RUNS}::test_too_many_removals_stop_and_opt_outs_leave_all_the_same"),
    mutant("a moved target stops nobody", "guards.py", "if former is not None and acknowledged and (former.destination, former.list_name) != place:", NEVER, f"{RUNS}::test_a_sync_pointed_elsewhere_is_refused_even_with_a_yes"),
    mutant("a changed type stops nobody", "guards.py", "        if changed:\n", f"        {NEVER}\n", f"{PLANS}::test_a_column_whose_type_changed_stops_it"),
    mutant("a failed check stops nobody", "guards.py", "if source is not None and source.failed_checks and planned.operations:", NEVER, f"{PLANS}::test_each_guard_stops_and_says_why"),
    mutant("an old source stops nobody", "guards.py", "elif source.as_of - source.newest_at > limit:", "elif False:", f"{PLANS}::test_each_guard_stops_and_says_why"),
    mutant("a source without facts stops nobody", "guards.py", "if source.newest_at is None:", "if source.newest_at is None and False:", f"{PLANS}::test_each_guard_stops_and_says_why"),
    mutant("too many invalid rows stop nobody", "guards.py", "if wanted and invalid / wanted > sync.guards.max_invalid_share:", NEVER, f"{PLANS}::test_too_many_invalid_rows_stop_it"),
    mutant("a budget stops nobody", "guards.py", "if most is not None and planned.operations > most:", NEVER, f"{PLANS}::test_each_guard_stops_and_says_why"),
    mutant("a price stops nobody", "guards.py", "if sync.budget.max_cost is not None and planned.cost is not None and planned.cost > sync.budget.max_cost:", NEVER, f"{PLANS}::test_each_guard_stops_and_says_why"),
    mutant("approval is never needed", "guards.py", 'if planned.operations and sync.approval.needed == "always":', NEVER, f"{PLANS}::test_each_guard_stops_and_says_why"),
    mutant("a full plan needs no approval", "guards.py", 'elif planned.operations and sync.approval.needed == "when_full" and planned.full_because:', "elif False:", f"{SAFEGUARDS}::test_a_full_plan_waits_for_approval_where_the_file_says_so"),
    *(
        mutant(f"the default of {name} is lax", "sync_file.py", old, new, f"{SAFEGUARDS}::test_a_file_that_says_nothing_is_guarded")
        for name, old, new in (
            ("max_removed_share", "max_removed_share: float = Field(default=0.05", "max_removed_share: float = Field(default=1"),
            ("max_removed", "max_removed: int = Field(default=1000", "max_removed: int = Field(default=10**9"),
            ("max_invalid_share", "max_invalid_share: float = Field(default=0.1", "max_invalid_share: float = Field(default=1"),
            ("max_source_age_hours", "default=48, gt=0, description=\"How old", "default=10**6, gt=0, description=\"How old"),
            ("valid_hours", "valid_hours: float = Field(default=24", "valid_hours: float = Field(default=10**6"),
            ("tolerance_share", "        default=0.01,\n", "        default=1,\n"),
            ("approval.needed", 'default="when_guarded"', 'default="when_full"'),
        )
    ),
    mutant("the default age of denials is lax", "patience.py", "denials_max_age: timedelta = timedelta(hours=24)", "denials_max_age: timedelta = timedelta(days=999)", f"{SAFEGUARDS}::test_a_file_that_says_nothing_is_guarded"),
)  # fmt: skip

DESTINATIONS = (
    mutant("a dead destination is asked for ever", "breaker.py", "if self.state is State.CLOSED and self.failures < self._tolerance.failures_in_a_row:", "if self.state is State.CLOSED:", f"{BREAKER}::test_it_opens_after_so_many_failures_in_a_row_and_cools_down"),
    mutant("a success between failures is forgotten", "breaker.py", "self.failures = self._openings = 0", "self._openings = 0", f"{BREAKER}::test_a_success_between_failures_starts_the_count_anew"),
    mutant("everybody is a probe", "breaker.py", "return self.state is State.HALF_OPEN", "return False", f"{BREAKER}::test_after_the_cool_down_one_probe_passes_and_the_others_wait_for_it"),
    mutant("it cools down no longer the more often it fails", "breaker.py", "self._tolerance.cool_down(self._openings)", "self._tolerance.cool_down(1)", f"{BREAKER}::test_a_probe_that_fails_makes_the_next_cool_down_longer"),
    mutant("a probe that was not sent keeps its place", "breaker.py", "if self.state is State.HALF_OPEN and era == self._era:", NEVER, f"{BREAKER}::test_a_probe_that_found_nothing_to_send_leaves_its_place_to_another"),
    mutant("an old answer opens it once more", "breaker.py", "        if era != self._era:\n", f"        {NEVER}\n", f"{BREAKER}::test_answers_from_before_it_opened_can_close_it_but_not_open_it_once_more"),
    mutant("a success lifts what the destination asked for", "breaker.py", "self._failing_since = self._cools_until = None", "self._failing_since = self._cools_until = self._asked_until = None", f"{BREAKER}::test_a_destination_that_says_when_to_come_back_is_left_alone_until_then_whatever_else_succeeds"),
    mutant("patience has no end", "breaker.py", "if (self.opens_at(now) or now) - self._failing_since > self._tolerance.give_up_after:", NEVER, f"{BREAKER}::test_it_gives_up_when_the_next_cool_down_would_end_after_its_patience"),
    mutant("a request for days of peace is waited out", "breaker.py", "if asked_until - self._failing_since > self._tolerance.give_up_after:", NEVER, f"{BREAKER}::test_one_answer_that_asks_for_more_patience_than_there_is_ends_the_run"),
    mutant("what is open lets requests pass", "room.py", "if until := self.breaker.opens_at(now):", "if (until := self.breaker.opens_at(now)) and False:", f"{CONCURRENCY}::test_an_open_breaker_lets_one_probe_pass_and_closes_for_all_syncs"),
    mutant("what is given up is asked all the same", "room.py", "if self.breaker.given_up is not None:", NEVER, f"{CONCURRENCY}::test_every_sync_of_a_destination_that_is_given_up_waits_for_the_next_run"),
    mutant("more requests at once than it takes", "room.py", "elif self.breaker.waits_for_probe or self._in_flight >= self._slots:", "elif self.breaker.waits_for_probe:", f"{CONCURRENCY}::test_all_syncs_of_a_destination_share_its_requests_in_flight"),
    mutant("its rate limit is not asked", "room.py", "elif wait := self._windows.admit(now):", "elif (wait := self._windows.admit(now)) and False:", f"{CONCURRENCY}::test_all_syncs_of_a_destination_share_its_rate_windows"),
    mutant("a request counts from when it left", "room.py", "self._windows.arrived(entry.admitted_at, entry.admitted_at + late)", "pass", f"{CONCURRENCY}::test_a_request_that_travels_longer_than_the_next_does_not_break_the_limit"),
    mutant("half a list is taken for all of it", "listing.py", "                raise _not_listed(sync, why)\n            await", "                return\n            await", f"{CONCURRENCY}::test_of_half_a_list_nothing_is_planned"),
    mutant("a list is believed of what came after it", "resync.py", "return row.ledger_seq <= self.ledger_seq and", "return", f"{LISTING}::test_who_came_while_a_list_was_read_is_not_forgotten"),
    mutant("a list is believed of what may not show yet", "resync.py", " and row.acknowledged_at <= to_micros(self.moment)", "", f"{LISTING}::test_who_may_not_be_visible_yet_is_not_forgotten"),
    mutant("a batch that was cancelled keeps its place", "delivery.py", "except BaseException:  # a cancelled", "except Exception:  # a cancelled", f"{CONCURRENCY}::test_a_task_that_is_cancelled_from_within_ends_the_run_and_nobody_waits_for_it"),
    mutant("a sync that was cancelled says nothing", "together.py", "except BaseException as error:  # whoever", "except GeneratorExit as error:  # whoever", f"{CONCURRENCY}::test_a_task_that_is_cancelled_from_within_ends_the_run_and_nobody_waits_for_it"),
    mutant("a sync starts although its former failed", "together.py", "        if former is not None:\n", f"        {NEVER}\n", f"{CONCURRENCY}::test_a_sync_whose_former_did_not_end_well_is_not_started_and_says_so"),
)  # fmt: skip

MUTANTS = (*IN_FLIGHT, *AMBIGUITY, *GATE, *PLANNING, *GUARDS, *DESTINATIONS)
