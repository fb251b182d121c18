//! How far a long command is: a bar on a terminal, a line now and then elsewhere. Always on
//! stderr.

use crate::output::note;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// Shows one stage after the other.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    stage: String,
    quarter: u64,
}

impl Progress {
    /// A bar if stderr is a terminal.
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:32!} {wide_bar} {pos}/{len} {elapsed}")
                .expect("the template is well-formed");
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            bar.with_style(style)
        });
        Self { bar, stage: String::new(), quarter: 0 }
    }

    /// `done` of `total` of this stage are done.
    pub(crate) fn show(&mut self, stage: &str, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            if self.stage != stage {
                bar.reset_elapsed();
                bar.set_message(stage.to_owned());
            }
            bar.set_length(total);
            bar.set_position(done);
        }
        let quarter = (done * 4).checked_div(total).unwrap_or(0);
        let changed = self.stage != stage;
        if self.bar.is_none() && (changed || quarter > self.quarter) {
            note(format!("{stage}: {done}/{total}"));
        }
        if changed {
            stage.clone_into(&mut self.stage);
        }
        self.quarter = quarter;
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
