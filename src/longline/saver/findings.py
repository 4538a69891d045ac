"""What a step of an audit finds, in the words of both engines."""

from longline.saver.port.audits import AuditStep, Difference


class Findings:
    """Differences of one step. `check`: by what they were found."""

    def __init__(self, check: str, app: int) -> None:
        self._check = check
        self._app = app
        self._found: list[Difference] = []

    def differs(
        self,
        subject: str,
        expected: object,
        stored: object,
        *,
        app: int | None = None,
        check: str | None = None,
    ) -> None:
        """Notes a difference. `app` and `check`: where they are others than those of the step."""
        of = self._app if app is None else app
        self._found.append(Difference(check or self._check, of, subject, str(expected), str(stored)))

    def same(self, subject: str, expected: object, stored: object, *, check: str | None = None) -> None:
        """Notes a difference unless there is none."""
        if expected != stored:
            self.differs(subject, expected, stored, check=check)

    def step(self, looked: int, next: str | None = None) -> AuditStep:
        """The step, which looked at so many rows."""
        return AuditStep(tuple(self._found), looked, next)
