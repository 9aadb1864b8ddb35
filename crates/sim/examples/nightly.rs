//! A thousand nights of chaos: `nightly [--seeds N] [--first SEED] [--agents N] [--seconds S]
//! [--jobs J] [--files] [--only NAME] [--print]`. Every seed is a run of its own; with `--files`
//! the scenario files run as well, before the seeds; `--only` picks those with NAME in theirs.
//! Failures are told with the command that reproduces them, and the exit code is 1. `--print`
//! shows scenarios and reports.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use knhk_mesh_sim::report::{Report, Verdict};
use knhk_mesh_sim::world::Drive;
use knhk_mesh_sim::{chaos, scenario};

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

/// One run.
enum Task {
    File(PathBuf),
    Seed(u64),
}

/// Scenario files, by name.
fn files() -> Vec<Task> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "toml"));
    let only = word("--only").unwrap_or_default();
    paths.retain(|path| path.to_string_lossy().contains(&only));
    paths.sort();
    paths.into_iter().map(Task::File).collect()
}

impl Task {
    fn run(&self, agents: u32, seconds: u32, print: bool) -> Result<Report, String> {
        let report = match self {
            Task::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|why| why.to_string())?;
                scenario::run(&text, None, 1, &mut |_| ())
            }
            Task::Seed(seed) => chaos::run(*seed, agents, seconds, Drive::default()),
        };
        let report = report.map_err(|why| why.to_string())?;
        if print {
            if let Task::Seed(seed) = self {
                println!("{}", chaos::scenario(*seed, agents, seconds));
            }
            println!("{:#?}\n{:#?}", report.targets, report.broken);
            println!("{}\ntrace {}", report.notes.join("\n"), report.trace_hash);
        }
        Ok(report)
    }
}

fn word(name: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != name).nth(1)
}

fn number(name: &str, or: u64) -> u64 {
    word(name).and_then(|text| text.parse().ok()).unwrap_or(or)
}

/// CPU of this process so far, where the system tells it: fields 14 and 15, in hundredths.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / 100.0)
}

/// The number in front of `word` in the notes.
fn told(report: &Report, word: &str) -> u64 {
    let text = report.notes.join(" ");
    let before = text.split(word).next().unwrap_or_default();
    before.split_whitespace().last().and_then(|n| n.parse().ok()).unwrap_or_default()
}

impl Night {
    fn note(&mut self, task: &Task, report: &Report, ms: u128) {
        let seed = report.setup.seed;
        if let Task::File(_) = task {
            let (name, after) = (&report.setup.scenario, report.sim_ms);
            println!("{name}: {:?}, agreed after {after} ms, took {ms} ms", report.verdict);
        }
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
        let name = &report.setup.scenario;
        let text =
            format!("{name}, seed {seed}\n    {}\n    {}", what.join("\n    "), report.reproduce);
        eprintln!("FAILED {text}");
        self.failures.push(text);
    }

    fn print(&self, start: Instant) {
        let seconds = start.elapsed().as_secs_f64();
        let cpu = cpu_seconds().unwrap_or(seconds) / self.runs.max(1) as f64;
        println!(
            "{} runs, {} failed; {} events; {seconds:.0} s, {cpu:.2} s CPU each (longest \
             {:.1} s by the clock, seed {})",
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

fn flag(name: &str) -> bool {
    std::env::args().any(|arg| arg == name)
}

fn main() -> ExitCode {
    let (first, seeds) = (number("--first", 0), number("--seeds", 1_000));
    let agents = number("--agents", 100) as u32;
    let seconds = number("--seconds", 60) as u32;
    let mut tasks = if flag("--files") { files() } else { Vec::new() };
    tasks.extend((first..first + seeds).map(Task::Seed));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = number("--jobs", cores as u64).clamp(1, 64);
    let (start, next) = (Instant::now(), AtomicUsize::new(0));
    let night = Mutex::new(Night::default());
    let work = || {
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begun = Instant::now();
            let report = task.run(agents, seconds, flag("--print"));
            let Ok(mut night) = night.lock() else { return };
            match report {
                Ok(report) => night.note(task, &report, begun.elapsed().as_millis()),
                Err(why) => night.failures.push(why),
            }
            if night.runs.is_multiple_of(20) && night.runs > 0 {
                eprint!("{}/{} ", night.runs, tasks.len());
                night.print(start);
            }
        }
    };
    std::thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
    let Ok(night) = night.into_inner() else { return ExitCode::FAILURE };
    night.print(start);
    let whole = night.failures.is_empty() && night.runs == tasks.len() as u64;
    if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
