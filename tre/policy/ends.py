"""Effective ends (V-21): nobody may be inside past the earliest of everything that ends."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from tre.model.permit import Permit, Person


def end_of_day(day: date) -> datetime:
    """The first instant after `day`: something valid until a day is valid through it."""
    return datetime.combine(day + timedelta(days=1), time(0), UTC)


def workspace_end(permit: Permit) -> datetime:
    """The earliest of permit, agreement, certificate and ethics ends."""

    def ends() -> Iterator[datetime]:
        yield permit.validity.not_after
        for agreement in permit.agreements:
            yield end_of_day(agreement.valid_until)
        if permit.spe and permit.spe.certificate_until:
            yield end_of_day(permit.spe.certificate_until)
        if permit.ethics and permit.ethics.valid_until:
            yield end_of_day(permit.ethics.valid_until)

    return min(ends())


def member_end(permit: Permit, person: Person) -> datetime:
    """The earliest of the workspace's end and the person's own window and training."""
    ends = [workspace_end(permit)]
    if person.valid_until:
        ends.append(person.valid_until)
    if person.training_valid_until:
        ends.append(end_of_day(person.training_valid_until))
    return min(ends)
