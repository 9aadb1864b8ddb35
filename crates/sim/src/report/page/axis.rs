//! Where a value lies on a chart, and which values get a mark.

use super::place::LETTER;
use crate::report::figures::grouped;

/// The rectangle that values are drawn in, in the units of the SVG.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    /// The value at the right edge; the left one is 0. Above 0.
    pub(super) most: f64,
}

impl Plot {
    /// From the left edge of the SVG; values outside lie on the border.
    pub(super) fn x(&self, value: f64) -> f64 {
        self.left + self.width * unit(value / self.most)
    }

    /// From the top, of a share of the height that is counted from below.
    pub(super) fn y(&self, share: f64) -> f64 {
        self.top + self.height * (1.0 - unit(share))
    }

    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// Within 0-1; what is no number is 0.
fn unit(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) }
}

/// Round values from 0 to `most`, at most `marks` and one.
pub(super) fn ticks(most: f64, marks: usize) -> Vec<f64> {
    if !(most.is_finite() && most > 0.0) || marks == 0 {
        return vec![0.0];
    }
    let rough = most / marks as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|s| *s >= rough);
    let step = step.unwrap_or(10.0 * power);
    let count = (most / step + 1e-9).floor() as usize;
    (0..=count.min(marks)).map(|i| i as f64 * step).collect()
}

/// The marks as text, all with as many decimals as their step needs.
pub(super) fn labels(ticks: &[f64]) -> Vec<String> {
    let step = ticks.get(1).copied().unwrap_or(1.0);
    let decimals = (-(step + step * 1e-9).log10().floor()).clamp(0.0, 6.0) as usize;
    let text = |tick: &f64| match decimals {
        0 => grouped(tick.round() as i128),
        _ => format!("{tick:.decimals$}"),
    };
    ticks.iter().map(text).collect()
}

/// Every how many of `count` marks a label fits, if one needs `width` of `room`.
pub(super) fn every(count: usize, room: f64, width: f64) -> usize {
    let fit = (room / width).max(1.0) as usize;
    let rough = count.div_ceil(fit).max(1);
    [1, 2, 5, 10, 20, 50, 100].into_iter().find(|step| *step >= rough).unwrap_or(rough)
}

/// Width of the widest of these round numbers as a label, with a gap.
pub(super) fn label_width(rounds: impl Iterator<Item = u32>) -> f64 {
    let digits = rounds.max().unwrap_or_default().to_string().len();
    (digits as f64 * LETTER + 8.0).max(22.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(600.0, 6), [0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0]);
        assert_eq!(ticks(0.7, 4), [0.0, 0.2, 0.4, 0.6000000000000001]);
        assert_eq!(ticks(f64::NAN, 5), [0.0]);
        assert_eq!(ticks(0.0, 5), [0.0]);
        for most in [1.0, 3.0, 9.99, 12_345.0, 1e-6] {
            let marks = ticks(most, 5);
            assert!((2..=6).contains(&marks.len()) && marks.iter().all(|m| *m <= most * 1.001));
        }
        assert_eq!(
            [every(6, 300.0, 24.0), every(30, 300.0, 24.0), every(100, 300.0, 24.0)],
            [1, 5, 10]
        );
    }

    #[test]
    fn marks_have_one_number_of_decimals() {
        assert_eq!(labels(&ticks(2.4, 8)), ["0.0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!(labels(&ticks(2_000.0, 2)), ["0", "1,000", "2,000"]);
        assert_eq!(labels(&ticks(0.3, 3)), ["0.0", "0.1", "0.2", "0.3"]);
    }

    #[test]
    fn values_outside_lie_on_the_border() {
        let plot = Plot { left: 10.0, top: 20.0, width: 100.0, height: 50.0, most: 4.0 };
        assert_eq!([plot.x(-1.0), plot.x(2.0), plot.x(9.0)], [10.0, 60.0, 110.0]);
        assert_eq!([plot.y(0.0), plot.y(0.5), plot.y(f64::NAN)], [70.0, 45.0, 70.0]);
    }
}
