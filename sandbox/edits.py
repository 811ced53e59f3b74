"""Small changes to a person, each giving the person as they are afterwards. Pure."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime

from sandbox.people import Place, latest_post, mentor_on
from sandbox.values import Enrolment, Mentorship, Person, Post, Training
from sandbox.vocabulary import Role


def touch(person: Person, at: datetime, *, unfunded: bool = False) -> Person:
    """Move the feed stamp, and with `unfunded` a mentor's other one too."""
    if unfunded and person.mentor is not None:
        return replace(person, updated_at=at, unfunded_updated_at=at)
    return replace(person, updated_at=at)


def with_enrolment(person: Person, role: Role, enrolment: Enrolment) -> Person:
    return replace(person, ect=enrolment) if role == "ect" else replace(person, mentor=enrolment)


def with_post(enrolment: Enrolment, old: Post, *new: Post) -> Enrolment:
    """The enrolment with a post replaced by others."""
    posts = [other for post in enrolment.posts for other in (new if post is old else (post,))]
    return replace(enrolment, posts=tuple(posts))


def with_training(enrolment: Enrolment, place: Place, *new: Training) -> Enrolment:
    """The enrolment with a training period replaced by others in the same post."""
    trainings = [
        other
        for training in place.post.trainings
        for other in (new if training is place.training else (training,))
    ]
    return with_post(enrolment, place.post, replace(place.post, trainings=tuple(trainings)))


def every_mentorship(
    enrolment: Enrolment, change: Callable[[Mentorship], Mentorship | None]
) -> Enrolment:
    """The enrolment with a change made to each assignment; None takes it away."""
    return replace(
        enrolment,
        posts=tuple(
            replace(
                post,
                mentors=tuple(m for mentor in post.mentors if (m := change(mentor)) is not None),
            )
            for post in enrolment.posts
        ),
    )


def earlier_of(day: date | None, other: date) -> date:
    return other if day is None or other < day else day


def assigned(enrolment: Enrolment, mentor: str, starts: date) -> Enrolment:
    """End the assignment in force on a day and begin a new one in the latest post."""
    kept = every_mentorship(enrolment, lambda m: _ended(m, starts))
    post = latest_post(kept)
    started = Mentorship(mentor=mentor, started_on=starts, finished_on=None)
    return with_post(kept, post, replace(post, mentors=(*post.mentors, started)))


def _ended(mentorship: Mentorship, on: date) -> Mentorship | None:
    """An assignment that is over on a day; one that had not begun by then never was."""
    if mentorship.started_on >= on:
        return None
    return replace(mentorship, finished_on=earlier_of(mentorship.finished_on, on))


def without_mentor(enrolment: Enrolment, on: date) -> Enrolment:
    """End the assignment in force on a day, or else cancel the next."""
    ahead = [
        mentorship
        for post in enrolment.posts
        for mentorship in post.mentors
        if mentorship.finished_on is None or mentorship.finished_on > on
    ]
    if not ahead:
        return enrolment
    first = min(ahead, key=lambda mentorship: mentorship.started_on)
    ended = replace(first, finished_on=on) if first.started_on < on else None
    return every_mentorship(enrolment, lambda m: ended if m is first else m)


def refreshed(enrolment: Enrolment, today: date) -> Enrolment:
    """Let readers see the mentor that the dates say."""
    mentor = mentor_on(enrolment, today)
    if mentor == enrolment.mentor_shown:
        return enrolment
    return replace(enrolment, mentor_shown=mentor)
