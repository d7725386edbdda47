"""What Dagster is told of models and tests that one run left as they were."""

STATUS = "status"
STANDS = "stands as it was: nothing that it reads has changed"
PASSED_BEFORE = "passed in an earlier build; nothing that it reads has changed since"
