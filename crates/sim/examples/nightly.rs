//! A thousand nights of chaos: `nightly [--seeds N] [--first SEED] [--agents N] [--seconds S]
//! [--jobs J] [--print]`. Every seed is a run of its own; failures are told with the command that
//! reproduces them, and the exit code is 1. `--print` shows the scenario and the report.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use knhk_mesh_sim::chaos;
use knhk_mesh_sim::report::{Report, Verdict};
use knhk_mesh_sim::world::Drive;

/// What the night was like so far.
#[derive(Default)]
struct Night {
    runs: u64,
    failures: Vec<String>,
    events: u64,
    slowest_ms: (u64, u64),
    acknowledged: u64,
    gone: u64,
    refusals: u64,
    /// Milliseconds of a core for the longest run, and its seed.
    longest: (u128, u64),
}

fn number(name: &str, or: u64) -> u64 {
    let mut args = std::env::args().skip_while(|arg| arg != name).skip(1);
    args.next().and_then(|text| text.parse().ok()).unwrap_or(or)
}

/// The number in front of `word` in the notes.
fn told(report: &Report, word: &str) -> u64 {
    let text = report.notes.join(" ");
    let before = text.split(word).next().unwrap_or_default();
    before.split_whitespace().last().and_then(|n| n.parse().ok()).unwrap_or_default()
}

impl Night {
    fn note(&mut self, seed: u64, report: &Report, ms: u128) {
        self.runs += 1;
        self.events += report.events;
        self.slowest_ms = self.slowest_ms.max((report.sim_ms, seed));
        self.longest = self.longest.max((ms, seed));
        self.acknowledged += told(report, " acknowledged");
        self.gone += told(report, " gone with a lost disk");
        self.refusals += report
            .notes
            .iter()
            .filter_map(|note| note.split("Messages refused: ").nth(1)?.split(';').next())
            .filter_map(|n| n.parse::<u64>().ok())
            .sum::<u64>();
        if report.verdict == Verdict::Pass {
            return;
        }
        let missed = report.targets.iter().filter(|t| t.required && !t.held);
        let missed = missed.map(|t| format!("{}: {} of {}", t.name, t.measured, t.bound));
        let what: Vec<String> = missed.chain(report.broken.iter().cloned()).collect();
        let text = format!("seed {seed}\n    {}\n    {}", what.join("\n    "), report.reproduce);
        eprintln!("FAILED {text}");
        self.failures.push(text);
    }

    fn print(&self, start: Instant, jobs: u64) {
        let seconds = start.elapsed().as_secs_f64();
        let cpu = seconds * jobs as f64 / self.runs.max(1) as f64;
        println!(
            "{} runs, {} failed; {} events; {seconds:.0} s, {cpu:.2} s of a core each (longest \
             {:.1} s, seed {})",
            self.runs,
            self.failures.len(),
            self.events,
            self.longest.0 as f64 / 1_000.0,
            self.longest.1
        );
        println!(
            "slowest agreement after the faults: {} ms (seed {}); writes: {} acknowledged, 0 of \
             those owed lost unless told above, {} gone with a lost disk; messages refused: {}",
            self.slowest_ms.0, self.slowest_ms.1, self.acknowledged, self.gone, self.refusals
        );
    }
}

fn main() -> ExitCode {
    let (first, seeds) = (number("--first", 0), number("--seeds", 1_000));
    let agents = number("--agents", 100) as u32;
    let seconds = number("--seconds", 60) as u32;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let jobs = number("--jobs", cores).clamp(1, seeds.max(1));
    let print = std::env::args().any(|arg| arg == "--print");
    let (start, next) = (Instant::now(), AtomicU64::new(first));
    let night = Mutex::new(Night::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    let begun = Instant::now();
                    let report = match chaos::run(seed, agents, seconds, Drive::default()) {
                        Ok(report) => report,
                        Err(why) => {
                            eprintln!("seed {seed} makes no scenario: {why}");
                            break;
                        }
                    };
                    if print {
                        println!("{}", chaos::scenario(seed, agents, seconds));
                        println!("{:#?}\n{:#?}", report.targets, report.broken);
                        println!("{}", report.notes.join("\n"));
                        println!("trace {}", report.trace_hash);
                    }
                    let Ok(mut night) = night.lock() else { break };
                    night.note(seed, &report, begun.elapsed().as_millis());
                    if night.runs.is_multiple_of(20) {
                        eprint!("{}/{seeds} ", night.runs);
                        night.print(start, jobs);
                    }
                }
            });
        }
    });
    let Ok(night) = night.into_inner() else { return ExitCode::FAILURE };
    night.print(start, jobs);
    let whole = night.failures.is_empty() && night.runs == seeds;
    if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
