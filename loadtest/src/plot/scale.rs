//! Values → places on an axis, and which values get a tick.

/// An axis from its least to its greatest value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
}

impl Scale {
    /// From 0, or below where there are negative values, to a round value above all.
    pub fn linear(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = bounds(values.filter(|value| value.is_finite()));
        let (low, high) = (low.min(0.0), high.max(0.0));
        let high = if high > low { high } else { low + 1.0 };
        let step = step(high - low);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, is_log: false }
    }

    /// Exactly from `low` to `high`.
    pub fn exact(low: f64, high: f64) -> Self {
        Self { low, high: if high > low { high } else { low + 1.0 }, is_log: false }
    }

    /// Whole powers of ten around all positive values.
    pub fn log(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = bounds(values.filter(|value| value.is_finite() && *value > 0.0));
        let (low, high) = if low <= high { (low, high) } else { (1.0, 10.0) };
        let (low, high) = (low.log10().floor(), high.log10().ceil());
        Self { low, high: if high > low { high } else { low + 1.0 }, is_log: true }
    }

    /// Where `value` is, from 0 to 1.
    pub fn place(&self, value: f64) -> f64 {
        let value = if self.is_log { value.max(f64::MIN_POSITIVE).log10() } else { value };
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Values that get a tick.
    pub fn ticks(&self) -> Vec<f64> {
        if self.is_log {
            let powers = (self.high - self.low) as i32;
            let every = 1 + (powers - 1) / 8;
            return (0..=powers)
                .step_by(every as usize)
                .map(|power| 10_f64.powi(self.low as i32 + power))
                .collect();
        }
        let step = step(self.high - self.low);
        let first = (self.low / step).ceil();
        let count = ((self.high / step).floor() - first) as usize;
        (0..=count).map(|index| (first + index as f64) * step).collect()
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// 1, 2 or 5 times a power of ten, so that there are four to ten steps.
fn step(range: f64) -> f64 {
    let power = 10_f64.powf((range / 5.0).log10().floor());
    let times = range / 5.0 / power;
    power
        * if times < 1.5 {
            1.0
        } else if times < 3.5 {
            2.0
        } else if times < 7.5 {
            5.0
        } else {
            10.0
        }
}

/// A number in a few characters: `1.5k`, `20M`, `0.05`.
pub fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = if value == 0.0 { 0 } else { (2 - value.abs().log10().floor() as i32).clamp(0, 6) as usize };
    let mut text = format!("{value:.digits$}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    text + unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_are_round_and_cover_all_values() {
        let scale = Scale::linear([3.0, 47.0, f64::NAN].into_iter());
        assert_eq!(scale.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!((scale.place(0.0), scale.place(25.0), scale.place(99.0)), (0.0, 0.5, 1.0));
        assert_eq!(Scale::linear(std::iter::empty()).ticks().len(), 6);
        assert_eq!(Scale::linear([0.0].into_iter()).place(0.0), 0.0);
        for high in [1e-7, 0.3, 1.0, 7.7, 99.0, 1e12] {
            let ticks = Scale::linear([high].into_iter()).ticks();
            assert!(
                (3..=11).contains(&ticks.len()) && ticks.last() >= Some(&(high * 0.999)),
                "{high} {ticks:?}"
            );
        }
    }

    #[test]
    fn log_ticks_are_powers_of_ten() {
        let scale = Scale::log([0.0, 0.05, 220.0].into_iter());
        let ticks = scale.ticks();
        assert_eq!(ticks.len(), 6);
        assert!((ticks[0] - 0.01).abs() < 1e-9 && (ticks[5] - 1_000.0).abs() < 1e-6);
        assert_eq!((scale.place(0.01), scale.place(0.0)), (0.0, 0.0));
        assert_eq!(Scale::log(std::iter::empty()).ticks(), [1.0, 10.0]);
        assert!(Scale::log([1e-9, 1e12].into_iter()).ticks().len() <= 12);
    }

    #[test]
    fn numbers_are_short() {
        let told = [0.0, 0.05, 1.25, 999.0, 5_000.0, 20_000.0, 1_500_000.0, 2e9, -30_000.0].map(short);
        assert_eq!(told, ["0", "0.05", "1.25", "999", "5000", "20k", "1.5M", "2G", "-30k"]);
    }
}
