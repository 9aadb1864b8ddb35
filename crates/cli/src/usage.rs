//! The words of the command line before they are a command: wrong usage is told like every other
//! failure, as JSON when JSON was asked for, and so is the version.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use serde_json::json;

use crate::args::Cli;
use crate::exit;
use crate::failure::Failure;
use crate::stdout;

/// The command, or how the process ends without one.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Cli, ExitCode> {
    let json = asks_for_json(&words);
    Cli::try_parse_from(words).map_err(|told| match told.kind() {
        ErrorKind::DisplayVersion if json => {
            let result = stdout::print_line(&version());
            ExitCode::from(result.map_or_else(|failure| ended(&failure, true), |()| 0))
        }
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that went away wants no help.
            let _ = told.print();
            ExitCode::SUCCESS
        }
        _ if json => ExitCode::from(ended(&wrong(&told.render().to_string()), true)),
        _ => {
            let _ = told.print();
            ExitCode::from(exit::WRONG_USAGE)
        }
    })
}

fn ended(failure: &Failure, json: bool) -> u8 {
    failure.print(json);
    failure.exit_code
}

/// Whether the words ask for JSON. Read by hand: they may be wrong anywhere else.
fn asks_for_json(words: &[OsString]) -> bool {
    let texts: Vec<&str> = words.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let end = texts.iter().position(|text| *text == "--").unwrap_or(texts.len());
    let joined = ["-ojson", "-o=json", "--output=json"];
    let apart = texts[..end].windows(2).any(|two| matches!(two, ["-o" | "--output", "json"]));
    apart || texts[..end].iter().any(|text| joined.contains(text))
}

fn version() -> serde_json::Value {
    json!({
        "name": "knhk-mesh",
        "version": env!("CARGO_PKG_VERSION"),
        "wire_version": knhk_mesh::core::WIRE_VERSION,
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
    })
}

/// The parser's words, which are for people: what is wrong in front of the first empty line, what
/// helps behind it.
fn wrong(told: &str) -> Failure {
    let told = told.strip_prefix("error: ").unwrap_or(told);
    let (message, help) = told.split_once("\n\n").unwrap_or((told, ""));
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let help = help.split("\n\n").map(one_line).filter(|part| !part.is_empty());
    let help = help.collect::<Vec<_>>().join("; ");
    let help = if help.is_empty() { "see `knhk-mesh --help`".into() } else { help };
    Failure::new("usage", &one_line(message), &help).ending_with(exit::WRONG_USAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_asked_for_in_each_way_the_parser_knows() {
        let asks =
            |line: &str| asks_for_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in
            ["m dev -o json", "m -o=json x", "m -ojson", "m --output json", "m --output=json"]
        {
            assert!(asks(line), "{line}");
        }
        for line in ["m dev -o text", "m json", "m set k -- -o json"] {
            assert!(!asks(line), "{line}");
        }
    }
}
