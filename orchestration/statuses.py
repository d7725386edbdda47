"""Words that assets tell Dagster and a run's progress reads again."""

# of models and tests that one run left as they were
STATUS = "status"
STANDS = "stands as it was: nothing that it reads has changed"
PASSED_BEFORE = "passed in an earlier build; nothing that it reads has changed since"
# the step that carries out every sync, and what it says of a sync that is behind
DELIVERIES = "deliveries"
INCOMPLETE = "incomplete"
