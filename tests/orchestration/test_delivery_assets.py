"""What Dagster shows of a sync's run."""

from activation.reports import SyncReport
from orchestration.delivery_assets import describe_report, report_metadata


def test_what_is_accepted_is_shown_apart_from_what_is_delivered() -> None:
    report = SyncReport("s", "d", "s-000001", adds=3, delivered=1, accepted=2)

    shown = report_metadata(report)

    assert describe_report(report) == "+3 ~0 -0, unchanged 0, delivered 1, accepted 2"
    assert (shown["delivered"], shown["accepted"]) == (1, 2)
