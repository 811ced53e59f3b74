"""The small Redis of the simulation says what the product's stand-in says."""

from datetime import timedelta
from random import Random

from gateway.quota import Granted, Limit, PastCall, Quota
from gateway.quota import Redis as ScriptRedis
from runtime.redis import new_stand_in
from schema.states import Lane
from tests.simulation.memory import Memory


class _Behind:
    """A stand-in that passes for a Redis of other processes."""

    def __init__(self) -> None:
        self._client = new_stand_in()

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: str) -> object:
        return self._client.evalsha(sha, numkeys, *keys_and_args)

    def eval(self, script: str, numkeys: int, *keys_and_args: str) -> object:
        return self._client.eval(script, numkeys, *keys_and_args)


def _talk(client: ScriptRedis, seed: int) -> list[object]:
    """Ask, answer, refuse and look in an order of chance; gives all that was said."""
    dice, now = Random(seed), [1_000.0]

    def seconds() -> float:
        return now[0]

    def recent() -> list[PastCall]:
        return []

    quotas = [
        Quota(
            client,
            key_name="key",
            limit=Limit(calls=6, window=timedelta(seconds=20)),
            hold=timedelta(seconds=5),
            recent=recent,
            monotonic=seconds,
            _redis_time=lambda: int(seconds() * 1e6),
        )
        for _ in range(2)
    ]
    held: list[tuple[Quota, Granted]] = []
    said: list[object] = []
    for _ in range(150):
        now[0] += dice.choice((0.01, 0.3, 2.5))
        quota, lane = dice.choice(quotas), dice.choice(tuple(Lane))
        match dice.choice(("ask", "ask", "end", "room", "fill")):
            case "ask":
                answer = quota.ask(lane)
                said.append("granted" if isinstance(answer, Granted) else answer)
                if isinstance(answer, Granted):
                    held.append((quota, answer))
            case "end" if held:
                owner, grant = held.pop(dice.randrange(len(held)))
                dice.choice((owner.answered, owner.unused, owner.refused))(grant)
            case "room":
                said.append(quota.room(lane, within=timedelta(seconds=5)))
            case _:
                said.append(quota.fill())
    return said


def test_the_quota_is_told_the_same_as_by_the_stand_in() -> None:
    for seed in range(3):
        assert _talk(Memory(lambda: 0), seed) == _talk(_Behind(), seed)
