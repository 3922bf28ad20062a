"""Is the Triton text right?  ``verify`` runs both texts of a pair and gives a ``Verdict``."""

from builder.verify.costs import Costs
from builder.verify.ladder import judge, verify
from builder.verify.preparation import Prepared, prepare
from builder.verify.verdict import VERIFIER_VERSION, Verdict

__all__ = ["VERIFIER_VERSION", "Costs", "Prepared", "Verdict", "judge", "prepare", "verify"]
