"""What becomes of each kind of message under differential privacy. A kind that is not here is refused."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedrouter_sim.messages import (
    Agreement,
    CentroidMessage,
    ClientEmbeddings,
    ClientFacts,
    Failed,
    FeatureSums,
    Grouping,
    GroupTokens,
    LocalClusters,
    PoolAdapter,
    Reach,
    RowTasks,
    StepTime,
    Tasks,
    UnseenRows,
    Update,
)

NOISED = "is bounded, and noise is put on it where it leaves the client"
SUMMED = "is bounded, and noise is put on the sum of all clients"
STAYS = "stays with the client"
REFUSED = "is refused"
TO_CLIENTS = "goes to clients, and is made of what is noised"


@dataclass(frozen=True)
class Decision:
    """What becomes of a message, and why."""

    what: str
    why: str


DECIDED: Mapping[type, Decision] = {
    Update: Decision(SUMMED, "all of a client's updates of a round are clipped as one vector"),
    Failed: Decision(SUMMED, "it counts as an update of zeros"),
    FeatureSums: Decision(SUMMED, "means of a client's rows, of bounded norm, in place of sums; counts are not sent"),
    CentroidMessage: Decision(NOISED, "as in LocalClusters"),
    LocalClusters: Decision(NOISED, "centroids and sketches are; sizes and answer lengths are not sent"),
    ClientFacts: Decision(STAYS, "nothing is weighted by counts, and answers may be of a length that is public"),
    Grouping: Decision(STAYS, "only the client trains its groups"),
    ClientEmbeddings: Decision(STAYS, "they are compared where they are"),
    GroupTokens: Decision(STAYS, "the simulation estimates its own cost"),
    StepTime: Decision(STAYS, "the simulation estimates its own cost"),
    Agreement: Decision(REFUSED, "it is a look at the rows' gradients beside that of the sketches"),
    RowTasks: Decision(REFUSED, "rows are corrected by sums of sketches, which would be sent anew for every pass"),
    Reach: Decision(REFUSED, "its quantiles of a few rows each would be noise"),
    UnseenRows: Decision(REFUSED, "a drift is refused, and it alone asks"),
    Tasks: Decision(TO_CLIENTS, "the tasks and the assignment follow from what was noised"),
    PoolAdapter: Decision(TO_CLIENTS, "adapters are made of noised sums of updates"),
}
