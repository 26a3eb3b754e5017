"""The workloads, their goals, and the table that says what the runs reached."""

import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Limit:
    """What a measured number may be at most, beside the ratio."""

    text: str
    metric: str
    pick: object  # which of the values of several runs counts: statistics.median, max
    highest: float
    show: str  # a format for the number


@dataclasses.dataclass(frozen=True)
class Workload:
    unit: str
    metric: str = "rate"
    more_is_better: bool = True
    goal: float = None  # the ratio to reach
    limit: Limit = None
    passes: int = 1  # runs of each competitor per repetition
    cpu_bound: bool = False
    touch_mib: int = 0  # memory to touch beforehand
    connections: int = 0


WORKLOADS = {
    "spawn": Workload(
        "tasks/s", goal=1.0, passes=3, cpu_bound=True, touch_mib=560,
        limit=Limit("peak < 60 MB", "peak_mb", statistics.median, 60, "peak {:.0f} MB"),
    ),
    "switch": Workload("switches/s", goal=0.7, passes=3, cpu_bound=True),
    "timers": Workload(
        "CPU s", "cpu_s", more_is_better=False, goal=0.7, touch_mib=260,
        limit=Limit("none early", "early_ms", max, 0, "{:.3f} ms early"),
    ),
    "idle": Workload(
        "bytes/task", "bytes_per_task", more_is_better=False, touch_mib=300,
        limit=Limit("<= 1370 bytes", "bytes_per_task", statistics.median, 1370, "{:.0f} bytes"),
    ),
    "queue": Workload("items/s", goal=0.7, passes=3, cpu_bound=True),
    "semaphore": Workload("holds/s", goal=0.7, passes=3, cpu_bound=True),
    "lock": Workload("holds/s", passes=3, cpu_bound=True),
    "condition": Workload("wake-ups/s", passes=3, cpu_bound=True),
    "barrier": Workload("waits/s", passes=3, cpu_bound=True),
    "event": Workload("wake-ups/s", goal=0.75, passes=3, cpu_bound=True, touch_mib=320),
    "files": Workload("files/s", passes=3),
    "processes": Workload("processes/s", passes=2),
    "echo64": Workload("messages/s", goal=0.88, passes=2, connections=64),
    "echo1000": Workload("messages/s", goal=0.88, passes=2, connections=1000),
    "connections": Workload(
        "bytes/connection", "bytes_per_connection", more_is_better=False, connections=10000,
    ),
    "bulk": Workload("CPU s/GiB", "cpu_s_per_gib", more_is_better=False, goal=0.7, passes=3),
}


def is_disturbed(run):
    """Other processes visibly took the CPU of this run."""
    if WORKLOADS[run["workload"]].cpu_bound:
        return run["seconds"] > 1.05 * run["cpu_s"]
    return run.get("other_cpu_pct", 0) > 15


def set_aside_disturbed(runs):
    """The good runs, without the disturbed ones wherever two clean ones of the same kind remain."""
    kinds = {}
    for run in runs:
        if "error" not in run:
            kinds.setdefault((run["name"], run["workload"]), []).append(run)
    kept = []
    for same in kinds.values():
        clean = [run for run in same if not is_disturbed(run)]
        kept += clean if len(clean) >= 2 else same
    return kept


def number(value):
    if value >= 1e6:
        return f"{value / 1e6:.2f}M"
    if value >= 1e4:
        return f"{value / 1e3:.0f}k"
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


class Row:
    """One workload: what the kept runs say about it."""

    def __init__(self, workload, runs):
        self.workload, self.spec = workload, WORKLOADS[workload]
        self.runs = [run for run in runs if run["workload"] == workload]

    def values(self, name, metric, rep=None):
        return [run[metric] for run in self.runs if run["name"] == name and rep in (None, run["rep"])]

    def median(self, name, rep=None):
        values = self.values(name, self.spec.metric, rep)
        return statistics.median(values) if values else None

    def ratio(self, name, rep=None):
        """How good it is beside the floor: 1 is as good, 0.5 half as good."""
        own, floor = self.median(name, rep), self.median("floor", rep)
        if not own or not floor:
            return None
        return own / floor if self.spec.more_is_better else floor / own

    def ratio_text(self):
        if self.ratio("luawait") is None:
            return ""
        each = [self.ratio("luawait", rep) for rep in {run["rep"] for run in self.runs}]
        each = [ratio for ratio in each if ratio is not None]
        text = f"{self.ratio('luawait'):.2f}"
        return f"{text} ({min(each):.2f}..{max(each):.2f})" if len(each) > 1 else text

    def goal_text(self):
        ratio = [f">= {self.spec.goal:.2f}"] if self.spec.goal else []
        return ", ".join(ratio + ([self.spec.limit.text] if self.spec.limit else []))

    def reached(self):
        """True, False, or None when luawait or the floor were not measured; and the limit's number."""
        if self.ratio("luawait") is None:
            return None, ""
        goal, limit = self.spec.goal, self.spec.limit
        good = goal is None or self.ratio("luawait") >= goal
        if limit is None:
            return good, ""
        value = limit.pick(self.values("luawait", limit.metric))
        return good and value <= limit.highest, f" ({limit.show.format(value)})"

    def cells(self, names):
        good, detail = self.reached()
        verdict = {True: "yes", False: "**no**", None: ""}[good]
        own = [self.cell(name) for name in ("luawait", "floor")]
        others = [self.cell(name, with_ratio=True) for name in names if name not in ("luawait", "floor")]
        return [self.workload, self.spec.unit, *own, self.ratio_text(), self.goal_text(), verdict + detail, *others]

    def cell(self, name, with_ratio=False):
        median, ratio = self.median(name), self.ratio(name)
        if median is None:
            return "-"
        return number(median) + (f" ({ratio:.2f})" if with_ratio and ratio is not None else "")


def print_table(rows, names):
    others = [name for name in names if name not in ("luawait", "floor")]
    head = ["workload", "unit", "luawait", "floor", "ratio", "goal", "reached", *others]
    lines = [head] + [row.cells(names) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    # words to the left, numbers to the right
    aligns = ["<" if column in ("workload", "unit", "goal", "reached") else ">" for column in head]
    rule = ["-" * width if align == "<" else "-" * (width - 1) + ":" for width, align in zip(widths, aligns)]
    for line in [head, rule] + lines[1:]:
        print("| " + " | ".join(f"{c:{a}{w}}" for c, a, w in zip(line, aligns, widths)) + " |")
