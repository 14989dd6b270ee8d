"""Estimates of P(L(Theta_n) > inf L + eps) with honest intervals, bands, quantiles, comparisons."""

from jaxsim.estimation.anytime import confidence_sequence
from jaxsim.estimation.band import Band, band
from jaxsim.estimation.counts import Counts, Outcome, classify, classify_known, outcomes
from jaxsim.estimation.coverage import coverage
from jaxsim.estimation.exceedance import Estimate, estimates
from jaxsim.estimation.families import (
    Families,
    Resolution,
    approximate_upper,
    betting_lower,
    families_resolved,
)
from jaxsim.estimation.histogram import RiskHistogram
from jaxsim.estimation.intervals import (
    INTERVALS,
    Interval,
    clopper_pearson,
    interval_of,
    lower_bound,
    mid_p,
    upper_bound,
    wilson,
)
from jaxsim.estimation.levels import LevelIntervals, level_intervals, level_labels
from jaxsim.estimation.liminf import liminf_bound
from jaxsim.estimation.paired import (
    PairedComparison,
    PairedCounts,
    compare,
    compare_all,
    holm,
    mcnemar,
    pair_outcomes,
)
from jaxsim.estimation.precision import precise
from jaxsim.estimation.profile import likelihood_ratio
from jaxsim.estimation.quantiles import quantile, quantile_interval, quantile_ranks
from jaxsim.estimation.stratified import Stratified, stratified
from jaxsim.estimation.stratified_counts import StratifiedCounts
from jaxsim.estimation.stratified_paired import StratifiedComparison, stratified_paired
from jaxsim.estimation.weighted_quantiles import weighted_quantile, weighted_quantile_interval

__all__ = [
    "INTERVALS",
    "Band",
    "Counts",
    "Estimate",
    "Families",
    "Interval",
    "LevelIntervals",
    "Outcome",
    "PairedComparison",
    "PairedCounts",
    "Resolution",
    "RiskHistogram",
    "Stratified",
    "StratifiedComparison",
    "StratifiedCounts",
    "approximate_upper",
    "band",
    "betting_lower",
    "classify",
    "classify_known",
    "clopper_pearson",
    "compare",
    "compare_all",
    "confidence_sequence",
    "coverage",
    "estimates",
    "families_resolved",
    "holm",
    "interval_of",
    "level_intervals",
    "level_labels",
    "likelihood_ratio",
    "liminf_bound",
    "lower_bound",
    "mcnemar",
    "mid_p",
    "outcomes",
    "pair_outcomes",
    "precise",
    "quantile",
    "quantile_interval",
    "quantile_ranks",
    "stratified",
    "stratified_paired",
    "upper_bound",
    "weighted_quantile",
    "weighted_quantile_interval",
    "wilson",
]
