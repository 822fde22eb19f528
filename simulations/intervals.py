"""Confidence intervals of a mean, of independent values and of a series whose neighbours are alike.

Whoever waits makes the next one wait, so differences between two runs job by job are no independent values:
at high load they are alike over hundreds of jobs. Their mean is as uncertain as the long-run variance of the
series says. That is estimated by cosine transforms of the lowest frequencies (EWC), each an almost
independent estimate, so the mean over its standard error follows Student's t with as many degrees of freedom
as there are transforms (Lazarus, Lewis, Stock and Watson, "HAR inference: recommendations for practice",
2018, equations 3 and 4).

Their rule of 0.4 n^(2/3) transforms is for series that are alike over a few neighbours. Here it is only the
most: n / (4 tau) are taken, tau being the number of neighbours that count as one (the integrated
autocorrelation time, with Sokal's window, 1989), because frequencies beyond that say nothing of the mean.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft, stats

CONFIDENCE: Final = 0.95
#: A series shorter than so many of its own correlation times says nothing of its mean.
STRETCHES_MIN: Final = 20
TRANSFORMS_MIN: Final = 3
#: Sokal's window ends at this many correlation times.
WINDOW: Final = 5

Floats = NDArray[np.float64]
Bounds = tuple[float, float]


def of_independent(values: Floats) -> Bounds | None:
    """Student's interval of the mean of float64[n]; None of fewer than two."""
    if len(values) < 2:
        return None
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return _bounds(float(values.mean()), error, len(values) - 1)


def of_series(values: Floats) -> Bounds | None:
    """The interval of the mean of float64[n] in order of time; None where it is too short to have one."""
    count = len(values)
    if count < STRETCHES_MIN:
        return None
    alike = correlation_time(values)
    if count < STRETCHES_MIN * alike:
        return None
    most = 0.4 * count ** (2 / 3)
    transforms = max(TRANSFORMS_MIN, min(int(most), int(count / (4 * alike))))
    error = math.sqrt(long_run_variance(values, transforms) / count)
    return _bounds(float(values.mean()), error, transforms)


def long_run_variance(values: Floats, transforms: int) -> float:
    """The mean square of the first cosine transforms of float64[n]; ``transforms`` is below n."""
    cosines = fft.dct(values - values.mean(), type=2, norm="ortho")
    return float(np.mean(np.square(cosines[1 : transforms + 1])))


def correlation_time(values: Floats) -> float:
    """How many neighbours of float64[n] count as one independent value; at least 1."""
    count = len(values)
    around = values - values.mean()
    spectrum = fft.rfft(around, 2 * count)
    lags = fft.irfft(spectrum * np.conj(spectrum))[:count]
    if lags[0] <= 0:
        return 1.0
    times = 1 + 2 * np.cumsum(lags[1:] / lags[0])
    ends = np.flatnonzero(np.arange(1, count) >= WINDOW * np.maximum(times, 1.0))
    found = times[ends[0]] if len(ends) else times[-1]
    return max(1.0, float(found))


def _bounds(mean: float, error: float, freedom: int) -> Bounds:
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return mean - reach, mean + reach
