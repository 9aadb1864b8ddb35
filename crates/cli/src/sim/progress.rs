//! How far a run is, on a terminal's standard error; elsewhere nothing.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use knhk_mesh_sim::spread::Progress;

/// Steps of the bar.
const STEPS: u64 = 1_000;
/// The share below and above which an update spreads as in the first and the last moment.
const EDGE: f64 = 1e-4;

/// The share of a stage that has to be done before what is left is estimated.
const KNOWN: f64 = 0.05;
/// Without an estimate.
const PLAIN: &str = "{prefix}{msg} {bar:24} {percent:>3} %";

/// The bar of one run.
pub(super) struct Bar {
    bar: ProgressBar,
    stage: &'static str,
    /// Goes before each line: which run of many this is.
    label: String,
    /// Enough of the stage is done to tell how long the rest takes.
    estimates: bool,
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("██░")
}

impl Bar {
    pub(super) fn new() -> Self {
        Self::labelled(String::new())
    }

    pub(super) fn labelled(label: String) -> Self {
        // Hidden by itself where standard error is no terminal.
        let bar =
            ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(style(PLAIN));
        Bar { bar, stage: "", label, estimates: false }
    }

    pub(super) fn show(&mut self, at: Progress) {
        if self.bar.is_hidden() {
            return;
        }
        if self.stage != at.stage {
            self.stage = at.stage;
            self.estimates = false;
            self.bar.set_style(style(PLAIN));
            self.bar.reset();
            self.bar.set_prefix(self.label.clone());
        }
        let done = if at.stage == "spreading" { evenly(at.done) } else { at.done };
        if !self.estimates && done >= KNOWN {
            self.estimates = true;
            self.bar.set_style(style("{prefix}{msg} {bar:24} {percent:>3} %, {eta} left"));
        }
        self.bar.set_message(format!("{:<11} {:>6} ms", at.stage, at.sim_ms));
        self.bar.set_position((done * STEPS as f64) as u64);
    }

    pub(super) fn done(self) {
        self.bar.finish_and_clear();
    }
}

/// The bar of many runs of one drill, which may end on any thread.
pub(super) struct Count(ProgressBar);

impl Count {
    pub(super) fn new() -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let bar = ProgressBar::with_draw_target(Some(1), target);
        bar.set_style(style("{pos} of {len} runs {bar:24} {eta} left"));
        Count(bar)
    }

    pub(super) fn show(&self, over: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(over);
    }

    pub(super) fn done(self) {
        self.0.finish_and_clear();
    }
}

/// An update spreads slowly, then fast, then slowly: its logit grows evenly with time, and with it
/// an estimate of what is left comes true.
fn evenly(informed: f64) -> f64 {
    let logit = |share: f64| (share / (1.0 - share)).ln();
    let from = logit(EDGE);
    let done = (logit(informed.clamp(EDGE, 1.0 - EDGE)) - from) / (-2.0 * from);
    done.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epidemic_is_shown_as_steady() {
        let shown: Vec<f64> =
            (0..=10).map(|i| evenly(1.0 / (1.0 + (f64::from(5 - i) * 1.8).exp()))).collect();
        let steps: Vec<f64> = shown.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.iter().all(|step| (step - steps[0]).abs() < 0.03), "{steps:?}");
        assert_eq!((evenly(0.0), evenly(0.5), evenly(1.0)), (0.0, 0.5, 1.0));
    }
}
