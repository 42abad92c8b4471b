"""Which mode to ship: those that are near enough to Keras, then the fastest, smallest or nearest.

candidates --judge--> passing --race--> CPU time, side by side --choose--> one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tools.candidates import Candidate
from tools.fidelity import BROKEN, EXACT, Fidelity

SPEED, SIZE, ACCURACY = PREFERENCES = ("speed", "size", "accuracy")
MADE_UP_MARGIN = 10.0  # dB more are asked of figures that come from made-up samples
_SAME_SPEED = 1.05  # nearer together than this is noise: the smaller file wins


@dataclass(frozen=True)
class Limits:
    """What each output must reach: accuracy where it has right answers, else the SQNR floor in dB."""

    accuracy_drop: float = 0.01
    sqnr_db: float = 30.0


def judge(candidate: Candidate, limits: Limits, made_up: bool) -> Candidate:
    """The candidate, with the reason why it does not pass where it does not."""
    if candidate.reason or candidate.fidelity is None:
        return candidate
    reason = _too_far(candidate.fidelity, limits, made_up)
    return replace(candidate, reason=reason)


def choose(candidates: Sequence[Candidate], prefer: str) -> Candidate | None:
    """The best of those without a reason against them; None without any."""
    passing = [item for item in candidates if not item.reason]
    if not passing:
        return None
    if prefer == SIZE:
        return min(passing, key=lambda item: (item.bytes, item.cpu_ms or 0))
    if prefer == ACCURACY:
        return max(passing, key=lambda item: (_nearness(item), -item.bytes))
    fastest = min(item.cpu_ms or 0 for item in passing)
    alike = [item for item in passing if (item.cpu_ms or 0) <= fastest * _SAME_SPEED]
    return min(alike, key=lambda item: (item.bytes, item.cpu_ms or 0))


def _too_far(found: Fidelity, limits: Limits, made_up: bool) -> str:
    if found.sqnr_db < BROKEN:
        return f"broken: {found.sqnr_db:.1f} dB, the floor is {BROKEN:g}"
    for name, metric in found.metrics.items():
        if metric.drop > limits.accuracy_drop + 1e-9:
            whose = f"{name}: " if len(found.outputs) > 1 else ""
            return f"{whose}{metric.name} is {metric.drop:.3g} worse, {limits.accuracy_drop:g} is allowed"
    floor = limits.sqnr_db + (MADE_UP_MARGIN if made_up else 0)
    nearness = min((told.sqnr_db for name, told in found.outputs.items() if name not in found.metrics), default=EXACT)
    if nearness < floor:
        why = " on made-up samples" if made_up else ""
        return f"{nearness:.1f} dB, the floor is {floor:g}{why}"
    return ""


def _nearness(item: Candidate) -> float:
    """SQNR, all beyond 90 dB alike: that is float32's own noise."""
    return min(item.fidelity.sqnr_db, 90.0) if item.fidelity else 0.0
