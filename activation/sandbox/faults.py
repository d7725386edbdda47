"""Ways in which the sandbox can be told to fail, one request at a time."""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal, get_args

FaultName = Literal[
    "rate_limited",  # 429, with Retry-After if given
    "unavailable",  # 503, with Retry-After if given
    "server_error",  # 500, nothing done
    "unauthorised",  # 401
    "bad_request",  # 400 to the whole request
    "html_page",  # 200 with a page instead of an answer, nothing done
    "hang",  # no answer, nothing done
    "cut_off",  # the connection is closed in the middle of the answer, nothing done
    "gateway_error_after_commit",  # 502, everything done
    "half_answer_after_commit",  # 200 with half of the answer, everything done
    "hang_after_commit",  # no answer, everything done
    "cut_off_after_commit",  # the connection is closed in the middle of the answer, everything done
    "slow_drip_after_commit",  # the answer comes byte by byte over `hold` seconds, everything done
    "twice_answered_after_commit",  # the answer is there twice, everything done
    "short_answer_after_commit",  # one row is not answered, everything done
    "text_after_commit",  # the answer calls itself plain text, everything done
]
# How the questions after a receipt can fail. None of the first nine tells anything about the work.
ReceiptFaultName = Literal[
    "status_rate_limited",  # 429, with Retry-After if given
    "status_error",  # 500
    "status_page",  # 200 with a page instead of an answer
    "status_hang",  # no answer
    "status_cut_off",  # the connection is closed in the middle of the answer
    "status_half",  # half of the answer
    "status_twice",  # the answer is there twice
    "status_of_another",  # the answer to another receipt
    "status_short",  # one row is not answered
    "receipt_forgotten",  # 404 from now on; the work is done all the same
    "work_forgotten",  # 404 from now on; what was not done yet is never done
    "never_finished",  # it is worked on for ever
    "rows_put_off",  # once it is time every row is put off, and nothing is done
]
TELL_NOTHING: tuple[ReceiptFaultName, ...] = get_args(ReceiptFaultName)[:9]
AFTER_COMMIT: tuple[FaultName, ...] = tuple(
    name for name in get_args(FaultName) if name.endswith("_after_commit")
)
# What a destination says so that it certainly did nothing; after any other answer nobody knows.
CERTAINLY_NOT_DONE: tuple[FaultName, ...] = ("rate_limited", "unauthorised", "bad_request")


@dataclass(frozen=True)
class Fault:
    """One failure. `retry_after` in seconds; `hold` is how long a hanging request stays open."""

    name: FaultName | ReceiptFaultName
    retry_after: int | None = None
    hold: float = 1.0


class Faults:
    """Two queues of failures: each batch, and each question after a receipt, takes the next of its own."""

    def __init__(self) -> None:
        self._queue: deque[Fault] = deque()
        self._of_receipts: deque[Fault] = deque()
        self._lock = threading.Lock()

    def add(self, fault: Fault, *, times: int = 1) -> None:
        """Let the next `times` batches fail so."""
        with self._lock:
            self._queue.extend([fault] * times)

    def clear(self) -> None:
        """Let no further request fail."""
        with self._lock:
            self._queue.clear()
            self._of_receipts.clear()

    def add_for_receipts(self, fault: Fault, *, times: int = 1) -> None:
        """Let the next `times` questions after a receipt fail so."""
        with self._lock:
            self._of_receipts.extend([fault] * times)

    def take_for_receipt(self) -> Fault | None:
        """The failure for the question that just arrived."""
        with self._lock:
            return self._of_receipts.popleft() if self._of_receipts else None

    def take(self) -> Fault | None:
        """The failure for the batch that just arrived."""
        with self._lock:
            return self._queue.popleft() if self._queue else None
