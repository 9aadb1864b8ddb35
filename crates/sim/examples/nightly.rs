//! A thousand nights of chaos: `nightly [--seeds N] [--first SEED] [--agents N] [--seconds S]
//! [--jobs J] [--files] [--only NAME] [--print]`. Every seed is a run of its own; with `--files`
//! the scenario files run as well, before the seeds; `--only` picks those with NAME in theirs.
//! Failures are told with the command that reproduces them, and the exit code is 1; 2 says
//! that the flags are wrong. `--print`
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
    lost: u64,
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
fn files(only: &str) -> Vec<Task> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios"));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "toml"));
    paths.retain(|path| path.to_string_lossy().contains(only));
    paths.sort();
    paths.into_iter().map(Task::File).collect()
}

impl Task {
    fn name(&self) -> String {
        match self {
            Task::File(path) => path.display().to_string(),
            Task::Seed(seed) => format!("seed {seed}"),
        }
    }

    fn run(&self, agents: u32, seconds: u32, print: bool) -> Result<Report, String> {
        let report = match self {
            Task::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|why| why.to_string())?;
                scenario::run(&text, None, 1, &mut |_| ())
            }
            Task::Seed(seed) => chaos::run(*seed, agents, seconds, Drive::default()),
        };
        let mut report = report.map_err(|why| why.to_string())?;
        if let Task::File(path) = self {
            report.reproduce = scenario::reproduce(&path.to_string_lossy(), report.setup.seed);
        }
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

/// CPU of this process so far, where the system tells it: fields 14 and 15, in hundredths.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / 100.0)
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
        if let Some(aftermath) = &report.aftermath {
            self.acknowledged += aftermath.writes_acknowledged;
            self.gone += aftermath.writes_gone;
            self.lost += aftermath.writes_lost;
            self.refusals += aftermath.messages_refused;
        }
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
            "slowest agreement after the faults: {} ms (seed {}); writes: {} acknowledged, \
             {} accounts short of what is owed, {} gone with a lost disk; messages refused: {}",
            self.slowest_ms.0,
            self.slowest_ms.1,
            self.acknowledged,
            self.lost,
            self.gone,
            self.refusals
        );
    }
}

/// What was asked for.
struct Asked {
    first: u64,
    seeds: u64,
    agents: u32,
    seconds: u32,
    jobs: u64,
    files: bool,
    only: String,
    print: bool,
}

impl Asked {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let (files, only, print) = (false, String::new(), false);
        let (first, seeds, agents, seconds) = (0, 1_000, 100, 60);
        let mut asked = Asked { first, seeds, agents, seconds, jobs: cores, files, only, print };
        while let Some(name) = args.next() {
            match name.as_str() {
                "--files" => asked.files = true,
                "--print" => asked.print = true,
                "--only" => asked.only = args.next().ok_or("--only needs a name")?,
                "--first" => asked.first = number(&name, args.next().as_ref(), 0, u64::MAX >> 1)?,
                "--seeds" => asked.seeds = number(&name, args.next().as_ref(), 0, 1 << 32)?,
                "--agents" => asked.agents = number(&name, args.next().as_ref(), 2, 2_000)? as u32,
                "--seconds" => {
                    asked.seconds = number(&name, args.next().as_ref(), 1, 86_400)? as u32;
                }
                "--jobs" => asked.jobs = number(&name, args.next().as_ref(), 1, 64)?,
                _ => return Err(format!("there is no flag {name}")),
            }
        }
        Ok(asked)
    }
}

fn number(name: &str, text: Option<&String>, least: u64, most: u64) -> Result<u64, String> {
    let n = text.and_then(|text| text.parse().ok());
    let n = n.filter(|n| (least..=most).contains(n));
    n.ok_or_else(|| format!("{name} needs a number from {least} to {most}"))
}

/// A panic fails its run and no other.
fn caught(task: &Task, asked: &Asked) -> Result<Report, String> {
    let run = || task.run(asked.agents, asked.seconds, asked.print);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err("panicked; what it said stands above".into()))
}

fn main() -> ExitCode {
    let asked = match Asked::read(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let mut tasks = if asked.files { files(&asked.only) } else { Vec::new() };
    tasks.extend((asked.first..asked.first + asked.seeds).map(Task::Seed));
    let (start, next) = (Instant::now(), AtomicUsize::new(0));
    let night = Mutex::new(Night::default());
    let work = || {
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begun = Instant::now();
            let report = caught(task, &asked);
            let Ok(mut night) = night.lock() else { return };
            match report {
                Ok(report) => night.note(task, &report, begun.elapsed().as_millis()),
                Err(why) => {
                    let text = format!("{}: {why}", task.name());
                    eprintln!("FAILED {text}");
                    night.runs += 1;
                    night.failures.push(text);
                }
            }
            if night.runs.is_multiple_of(20) && night.runs > 0 {
                eprint!("{}/{} ", night.runs, tasks.len());
                night.print(start);
            }
        }
    };
    std::thread::scope(|scope| (0..asked.jobs).for_each(|_| drop(scope.spawn(work))));
    let Ok(night) = night.into_inner() else { return ExitCode::FAILURE };
    night.print(start);
    let whole = night.failures.is_empty() && night.runs == tasks.len() as u64;
    if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
