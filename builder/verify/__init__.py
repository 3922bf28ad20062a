"""Is the Triton text right?  ``verify`` runs both texts of a pair and gives a ``Verdict``."""

from builder.verify.ladder import verify
from builder.verify.verdict import VERIFIER_VERSION, Verdict

__all__ = ["VERIFIER_VERSION", "Verdict", "verify"]
