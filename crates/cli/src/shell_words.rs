//! What shells and manuals know about the command line, made from its one definition: `completions`
//! and `man`.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use serde_json::json;

use crate::args::Cli;
use crate::failure::Failure;
use crate::stdout;

/// Options of `completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManualPages {
    /// Write a page for each command into this folder, instead of the first to standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs `completions`.
pub(crate) fn completions(args: &Completions, json: bool) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "knhk-mesh", &mut script);
    let script = String::from_utf8_lossy(&script);
    if json {
        let shell = args.shell.to_string();
        return stdout::print_line(&json!({ "shell": shell, "script": script }));
    }
    stdout::print(&script)
}

/// Runs `man`.
pub(crate) fn man(args: &ManualPages, json: bool) -> Result<(), Failure> {
    let mut root = Cli::command();
    root.build();
    let Some(folder) = &args.out else {
        let page = String::from_utf8_lossy(&page(&root)?).into_owned();
        return if json {
            stdout::print_line(&json!({ "name": "knhk-mesh.1", "page": page }))
        } else {
            stdout::print(&page)
        };
    };
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    let mut files = Vec::new();
    for command in every(&root) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let file = folder.join(format!("{name}.1"));
        std::fs::write(&file, page(command)?).map_err(|error| unwritable(&file, &error))?;
        files.push(file.display().to_string());
    }
    if json {
        return stdout::print_line(&json!({ "files": files }));
    }
    stdout::print_line(&files.join("\n"))
}

fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let written = Man::new(command.clone()).render(&mut page);
    written.map_err(|error| Failure::new("man", &error, "this is a defect: please report it"))?;
    Ok(page)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("{}: {error}", path.display());
    Failure::new("output", &message, "name a folder that this user may write to")
}

/// `root` and all commands below it, but for the ones that only show help.
fn every(root: &Command) -> Vec<&Command> {
    let mut found = vec![root];
    let below = root.get_subcommands().filter(|command| command.get_name() != "help");
    found.extend(below.flat_map(every));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Where the help texts stand that were agreed, one file a command.
    const AGREED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/help");
    const ACCEPT: &str = "make help-accept";

    /// The file of each command, and its help.
    fn all_help() -> BTreeMap<String, String> {
        let mut root = Cli::command().term_width(100);
        root.build();
        let commands = every(&root).into_iter();
        let help = commands.map(|command| {
            let name = command.get_bin_name().unwrap_or("knhk-mesh").replace(' ', "-");
            (format!("{name}.txt"), format!("{}\n", command.clone().render_long_help()))
        });
        help.collect()
    }

    #[test]
    fn every_help_text_is_the_agreed_one() {
        let now = all_help();
        if std::env::var_os("HELP_ACCEPT").is_some() {
            let _ = std::fs::remove_dir_all(AGREED);
            std::fs::create_dir(AGREED).unwrap();
            now.iter().for_each(|(name, help)| {
                std::fs::write(format!("{AGREED}/{name}"), help).unwrap();
            });
        }
        for (name, help) in &now {
            let agreed = std::fs::read_to_string(format!("{AGREED}/{name}")).unwrap_or_default();
            let line = help.lines().zip(agreed.lines()).position(|(new, old)| new != old);
            let at = line.map_or_else(|| "the end".into(), |line| format!("line {}", line + 1));
            assert!(
                *help == agreed,
                "help differs from tests/help/{name}, first at {at}; to accept it: {ACCEPT}"
            );
        }
        let files = std::fs::read_dir(AGREED).unwrap().count();
        assert_eq!(files, now.len(), "a file of tests/help belongs to no command; {ACCEPT}");
    }

    #[test]
    fn every_command_and_option_says_what_it_is_for() {
        let mut root = Cli::command();
        root.build();
        for command in every(&root) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for option in command.get_arguments() {
                assert!(option.get_help().is_some(), "{} {option}", command.get_name());
            }
        }
    }
}
