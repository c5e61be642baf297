"""What happens when nodes are lost: clients come back, shards move, deliveries catch up.

Fluid in steps of time, node by node for the edges (a hundred of them stand for more, the fullest one among them), for
all nodes together for deliveries. A client that has lost its node begins a new connection within its backoff, on a node
by chance. A node takes connections up with what its requests leave of its cores. A connection that is not there in time
is given up: what was done for it is lost, and it is begun anew. Shards of the lost nodes stand still until the group
has noticed, moved them and read their ledgers; what has come meanwhile is caught up with what ingest leaves of the
cores.
"""

import math
import random
from dataclasses import dataclass, replace

from model import capacity, costs
from model.inputs import value
from model.limits import limit
from model.workload import Fleet, Workload

STEP = 0.1
END = 3_600.0
SEED = 7
# Nodes that are looked at one by one.
NODES_SEEN = 100


@dataclass(frozen=True)
class Storm:
    """Seconds, but for the largest number of connections that waited for one node and the part that gave up once."""

    connected: float
    waiting: float
    gave_up: float
    shards_move: float
    caught_up: float


def spread(connections: float, nodes: int, chance: random.Random) -> list[float]:
    """How many of `connections` come to each of `nodes` by chance: normal, for a binomial of many."""
    seen = min(nodes, NODES_SEEN)
    mean = connections / nodes
    deviation = math.sqrt(mean * (1 - 1 / nodes))
    found = [max(0.0, chance.gauss(mean, deviation)) for _ in range(seen)]
    # The fullest of all nodes, where not all of them are looked at: about √(2 ln n) deviations.
    found[0] = mean + deviation * math.sqrt(2 * math.log(nodes)) if nodes > 1 else mean
    return found


def connected(arrivals: float, spare: float) -> tuple[float, float, float]:
    """Until all `arrivals` of one node with `spare` cores are connected; the most that waited; those that gave up."""
    each, backoff, patience = value("connect_tls_us") / 1e6, value("backoff_s"), value("patience_s")
    now = most = gave_up = served = queue = 0.0
    coming = arrivals / backoff * STEP
    again = [0.0] * round(backoff / STEP)
    came = 0.0
    while now < END and arrivals - served > 0.5:
        fresh = coming if came < arrivals - 1e-9 else 0.0
        came += fresh
        slot = round(now / STEP) % len(again)
        queue += fresh + again[slot]
        again[slot] = 0.0
        can = spare / each * STEP
        done = min(queue, can)
        queue -= done
        served += done
        # Whoever would wait longer than its patience leaves, and comes back within another backoff.
        late = max(0.0, queue - spare / each * patience)
        queue -= late
        gave_up += late
        for place in range(len(again)):
            again[place] += late / len(again)
        most = max(most, queue)
        now += STEP
    return (now if arrivals - served <= 0.5 else math.inf), most, gave_up


def shards_move_s(workload: Workload, fleet: Fleet, lost: int) -> float:
    """From the loss to the first record that another node reads: the session, two rounds of a cooperative rebalance,
    and the takeover of ledgers: all shards at a time, each a list, what lies behind the latest snapshot, and two
    creates."""
    moved = math.ceil(workload.all_workers * lost / fleet.nodes)
    objects = limit("LEDGER_SNAPSHOT_OBJECTS")
    answers = 1 + objects / limit("LEDGER_READS_MAX") + 2
    takeover = max(answers * value("store_ms") / 1e3, moved * objects / value("s3_gets"))
    return limit("OWNERSHIP_SESSION_TIMEOUT") + 2 * limit("OWNERSHIP_HEARTBEAT") + takeover


def of_fleet(workload: Workload, fleet: Fleet, gb_s: float, lost: int) -> Storm:
    """`lost` of the nodes end at once, while the fleet takes `gb_s`."""
    chance = random.Random(SEED)
    left = fleet.nodes - lost
    own = fleet.cores or value("cores")
    producing = costs.producing(workload, replace(fleet, nodes=left), gb_s) / left
    beside = producing + capacity.fixed_cores(workload, fleet) / fleet.nodes
    ingest = gb_s * costs.ingest(workload) / left + beside
    deliver = gb_s * workload.deliveries * costs.delivery(workload) / left
    # All cores of what is left, not only the part that one wants to be busy. Deliveries wait; requests do not.
    spare = max(0.0, own - ingest)
    if not spare:
        return Storm(math.inf, math.inf, 0.0, math.inf, math.inf)
    orphans = fleet.connections * lost / fleet.nodes
    rounds = [connected(count, spare) for count in spread(orphans, left, chance)]
    move = shards_move_s(workload, fleet, lost)
    behind = gb_s * lost / fleet.nodes * move
    rate = max(0.0, own - ingest - deliver) * left / max(1e-9, costs.delivery(workload))
    catch_up = move + behind / rate if rate else math.inf
    slowest = max(time for time, _, _ in rounds)
    waited = max(most for _, most, _ in rounds)
    gave_up = sum(count for _, _, count in rounds) / max(1e-9, sum(spread(orphans, left, random.Random(SEED))))
    return Storm(slowest, waited, gave_up, move, catch_up)
