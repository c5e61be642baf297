//! Whether two means differ by more than chance: Welch's t interval (B. L. Welch, Biometrika 34, 1947), of means of
//! batches, because what happens in one second is not independent of the second before it (Law and Carson, Operations
//! Research 27, 1979).

/// Batches that the values of a run are put into.
const BATCHES: usize = 10;

/// Values that a run must have to be judged.
pub const VALUES_MIN: usize = 5;

/// Of 100 pairs of equal runs, one is told to differ: the normal quantile of 99.5 %.
const Z: f64 = 2.575_829;

/// Values of a run, put together.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    count: f64,
    mean: f64,
    /// Variance of the mean.
    variance: f64,
}

impl Sample {
    fn of(values: &[f64]) -> Option<Self> {
        if values.len() < VALUES_MIN {
            return None;
        }
        let count = values.len().min(BATCHES);
        let edge = |batch: usize| batch * values.len() / count;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let means: Vec<_> = (0..count).map(|batch| mean(&values[edge(batch)..edge(batch + 1)])).collect();
        let of_means = mean(&means);
        let squares: f64 = means.iter().map(|mean| (mean - of_means).powi(2)).sum();
        let count = count as f64;
        Some(Self { count, mean: mean(values), variance: squares / (count - 1.0) / count })
    }
}

/// The difference of two means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The second less the first.
    pub value: f64,
    /// With 99 % confidence, the difference is within so much of `value`.
    pub within: f64,
}

impl Difference {
    /// Whether it is more than chance.
    pub fn is_real(&self) -> bool {
        self.value.abs() > self.within
    }
}

/// The difference of the means of two runs; nothing if one is too short.
pub fn difference(first: &[f64], second: &[f64]) -> Option<Difference> {
    let (a, b) = (Sample::of(first)?, Sample::of(second)?);
    let variance = a.variance + b.variance;
    let part = |sample: Sample| sample.variance.powi(2) / (sample.count - 1.0);
    // Without any variance, any freedom will do.
    let freedom = if variance > 0.0 { variance.powi(2) / (part(a) + part(b)) } else { 1.0 };
    Some(Difference { value: b.mean - a.mean, within: quantile(freedom) * variance.sqrt() })
}

/// Student's quantile of 99.5 % (the expansion by Cornish and Fisher; 2 % too low with 4 degrees of freedom).
fn quantile(freedom: f64) -> f64 {
    let (z3, z5, z7) = (Z.powi(3), Z.powi(5), Z.powi(7));
    Z + (z3 + Z) / (4.0 * freedom)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * Z) / (96.0 * freedom.powi(2))
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * Z) / (384.0 * freedom.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantile_is_that_of_tables() {
        for (freedom, table) in [(4.0, 4.604), (9.0, 3.250), (18.0, 2.878), (100.0, 2.626)] {
            let error = (quantile(freedom) / table - 1.0).abs();
            assert!(error < 0.02, "{freedom} {}", quantile(freedom));
        }
    }

    fn noise(seed: u64, mean: f64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = forebay::testkit::generators::mix(state);
            mean + (state % 1_000) as f64 / 500.0 - 1.0
        };
        (0..30).map(|_| next()).collect()
    }

    #[test]
    fn equal_runs_seldom_differ_and_runs_far_apart_always_do() {
        let is_real =
            |seed: u64, mean| difference(&noise(seed, 10.0), &noise(seed + 5_000, mean)).unwrap().is_real();
        let wrong = (0..1_000).filter(|&seed| is_real(seed, 10.0)).count();
        assert!(wrong <= 25, "{wrong}");
        assert!((0..1_000).all(|seed| is_real(seed, 12.0)));
    }

    #[test]
    fn a_short_run_is_not_judged_and_equal_values_do_not_differ() {
        assert_eq!(difference(&[1.0; 4], &[2.0; 9]), None);
        assert!(!difference(&[1.0; 9], &[1.0; 9]).unwrap().is_real());
        assert!(difference(&[1.0; 9], &[2.0; 9]).unwrap().is_real());
    }
}
