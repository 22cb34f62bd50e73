"""What has been recorded, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from .background import BackgroundWriter


@dataclass
class Report:
    """Seconds as the training's thread sees them; on a device that works by itself, an operation
    that was started is not yet done, and they tell little."""

    batches: int = 0
    step_seconds: float = 0.0  # forward and backward passes, with recording
    recording_seconds: float = 0.0  # of those, spent for recording
    waiting_seconds: float = 0.0  # of those, for room in the queue, or for its end
    writers: list[BackgroundWriter] = field(default_factory=list, repr=False)

    def add(self, step: float, recording: float, waiting: float) -> None:
        self.batches += 1
        self.step_seconds += step
        self.recording_seconds += recording
        self.waiting_seconds += waiting

    @property
    def rows(self) -> int:
        """Rows that were appended."""
        return sum(writer.rows for writer in self.writers)

    @property
    def skipped(self) -> int:
        """Rows that were left out since they were there already (resume)."""
        return sum(writer.skipped for writer in self.writers)

    @property
    def nonfinite(self) -> int:
        """Rows that were left out since they were not finite."""
        return sum(writer.nonfinite for writer in self.writers)

    @property
    def writing_seconds(self) -> float:
        """Beside training, on the writers' threads."""
        return sum(writer.wrote for writer in self.writers)

    @property
    def share(self) -> float:
        """Of the time of the steps, what went into recording: 0 to 1."""
        return (self.recording_seconds + self.waiting_seconds) / (self.step_seconds or 1)

    def __str__(self) -> str:
        left_out = f", {self.skipped:,} were there already" if self.skipped else ""
        left_out += f", {self.nonfinite:,} were not finite" if self.nonfinite else ""
        return (f"recorded {self.rows:,} rows in {self.batches:,} batches{left_out}: "
                f"{self.recording_seconds:.1f} s of {self.step_seconds:.1f} s in forward and backward "
                f"passes ({self.share:.0%}), {self.waiting_seconds:.1f} s of waiting, "
                f"{self.writing_seconds:.1f} s of writing beside them")
