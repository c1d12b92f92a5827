"""The worked examples of docs/scaling.md."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.capacity.plan import Choices, Demand


@dataclass(frozen=True)
class Example:
    """`command` is what gives the plan of this demand, without `--prices`."""

    title: str
    told: str
    command: str
    demand: Demand
    choices: Choices


EXAMPLES = {
    "shop": Example(
        "A shop with 50,000 photos a day",
        "Suppliers send photos of 12 megapixels between 8 and 18 o'clock, in waves of four times the mean. The shop "
        "wants PNG, and no customer waits for it.",
        "cutstream plan --photos-a-day 50000 --megapixels 12 --hours 10 --peak 4",
        Demand(50_000, megapixels=12, hours=10, peak=4),
        Choices(),
    ),
    "studio": Example(
        "A studio with deadlines of 3 s",
        "Photographers see the cutout on their screen while they work: 20,000 photos of 6 megapixels within 9 hours, "
        "up to six times the mean when all sets shoot, and 99 of 100 within 3 s.",
        "cutstream plan --photos-a-day 20000 --megapixels 6 --hours 9 --peak 6 --deadline 3",
        Demand(20_000, megapixels=6, hours=9, peak=6, deadline_s=3),
        Choices(),
    ),
    "night": Example(
        "A million frames over night",
        "A film of 2 megapixels a frame has to be done by the morning: all frames wait from the start, nobody waits "
        "for a single one, and machines may be busy. Nothing is spare: if a worker dies, it ends later.",
        "cutstream plan --photos-a-day 1000000 --megapixels 2 --hours 8 --peak 1 --utilisation 0.9 --spare 0",
        Demand(1_000_000, megapixels=2, hours=8, peak=1),
        Choices(utilisation=0.9, spare=0),
    ),
}
