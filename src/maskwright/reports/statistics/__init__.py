"""What numbers of a few seeds and many test items show, and what they leave open.

Plain functions of numbers and arrays: `seeds` compares two arms by the one number that each seed gives, `power`
says what so many seeds can find, `bootstrap` resamples seeds and test items. The libraries that they use take a
second to import and are imported when called.
"""

from maskwright.reports.statistics.bootstrap import grouped_bootstrap, hierarchical_bootstrap
from maskwright.reports.statistics.estimate import Estimate
from maskwright.reports.statistics.power import power, seeds_needed, smallest_difference
from maskwright.reports.statistics.seeds import (
    Comparison,
    compare,
    equivalence_test,
    holm,
    paired_differences,
    sign_flip_test,
    t_interval,
    t_test,
)

__all__ = [
    "Comparison",
    "Estimate",
    "compare",
    "equivalence_test",
    "grouped_bootstrap",
    "hierarchical_bootstrap",
    "holm",
    "paired_differences",
    "power",
    "seeds_needed",
    "sign_flip_test",
    "smallest_difference",
    "t_interval",
    "t_test",
]
