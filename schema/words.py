"""Numbers of things as people read them. Pure."""


def several(number: int, one: str, many: str | None = None) -> str:
    """Write a number of things: `1 record`, `2 records`; with *many* where an `s` is not enough."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def length(minutes: float) -> str:
    """Write roughly how many minutes something takes: nobody reads that it takes none."""
    return "under a minute" if minutes < 1 else f"about {several(round(minutes), 'minute')}"
