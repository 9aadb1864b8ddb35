//! `sim compare`: two reports side by side. That they differ is no failure.

use std::path::Path;

use knhk_mesh_sim::report::{self, Report};

use super::args::Compare;
use super::{cannot, files, json};
use crate::args::Output;
use crate::failure::Failure;
use crate::stdout::print_line;

pub(super) fn run(args: &Compare, output: Output) -> Result<(), Failure> {
    let comparison = report::compare(&read(&args.a)?, &read(&args.b)?);
    match output {
        Output::Json => print_line(&json(&comparison)?),
        Output::Text => {
            let names = [&args.a, &args.b].map(|path| path.display().to_string());
            print_line(&comparison.table([&names[0], &names[1]]).trim_end())
        }
    }
}

fn read(path: &Path) -> Result<Report, Failure> {
    let text = files::read(path)?;
    serde_json::from_str(&text).map_err(|e| {
        let message = format!("{}: no report: {e}", path.display());
        cannot("report", &message, "make one with `knhk-mesh sim -o json > FILE`")
    })
}
