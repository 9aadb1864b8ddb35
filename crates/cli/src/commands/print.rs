//! How answers are printed. With JSON a line is what the node said; the texts are for people and
//! for shells: a value is printed as it is, with a newline behind it.

use std::fmt::Write as _;
use std::io::{self, Write};

use data_encoding::BASE64;
use serde_json::Value as Json;

use super::args::Ask;
use super::explain;
use crate::exit;
use crate::failure::Failure;

/// Whether somebody still reads standard output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reader {
    There,
    /// As with `| head -1`: no failure, but the end.
    Gone,
}

/// Writes to standard output.
fn write_out(bytes: &[u8]) -> Result<Reader, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::new("output", &error, "give standard output room to write to")),
    }
}

/// Prints what a node answered.
pub(super) fn answer(ask: &Ask, answer: &str, json: bool) -> Result<Reader, Failure> {
    if json {
        return write_out(format!("{answer}\n").as_bytes());
    }
    let said = parse(answer)?;
    match ask {
        Ask::Get(_) => write_out(&value_lines(&said)),
        Ask::Peers(list) if list.explain => write_out(explain::text(&said).as_bytes()),
        Ask::Peers(_) => write_out(peers(&said).as_bytes()),
        Ask::Status(_) => write_out(status(&said).as_bytes()),
        Ask::Digest(_) => {
            let text =
                format!("{} {} {}\n", text(&said, "scope"), text(&said, "root"), said["count"]);
            write_out(text.as_bytes())
        }
        Ask::Ping(_) => {
            let (node, address) = (text(&said, "node"), text(&said, "address"));
            write_out(format!("{node} at {address}: {} ms\n", said["rtt_ms"]).as_bytes())
        }
        Ask::Denied(_) => {
            let line = |one: &Json| match one["up_to"].as_u64() {
                None => format!("{}\n", text(one, "node")),
                Some(up_to) => format!("{} up to {up_to}\n", text(one, "node")),
            };
            let nodes = said.as_array().into_iter().flatten().map(line);
            write_out(nodes.collect::<String>().as_bytes())
        }
        // What was written is known; no news is good news.
        Ask::Backup(_)
        | Ask::Set(_)
        | Ask::Del(_)
        | Ask::Incr(_)
        | Ask::Add(_)
        | Ask::Remove(_)
        | Ask::Watch(_)
        | Ask::Deny(_)
        | Ask::Forget(_) => Ok(Reader::There),
    }
}

/// Prints one event of a watch.
pub(super) fn event(event: &str, json: bool) -> Result<Reader, Failure> {
    if json {
        return write_out(format!("{event}\n").as_bytes());
    }
    let said = parse(event)?;
    if let Some(lagged) = said["lagged"].as_u64() {
        eprint(&format!("{lagged} changes were missed: read the keys of interest again\n"));
        return Ok(Reader::There);
    }
    let key = one(&said["key"], &said["key_base64"]);
    let mut line = key;
    if said["value"].is_null() && said["value_base64"].is_null() {
        line.extend_from_slice(b" deleted\n");
    } else {
        line.extend_from_slice(b" = ");
        let mut values = value_lines(&said);
        values.pop();
        let together = values.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b", "[..]);
        line.extend_from_slice(&together);
        line.push(b'\n');
    }
    write_out(&line)
}

fn eprint(text: &str) {
    // A closed standard error leaves nobody to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn parse(line: &str) -> Result<Json, Failure> {
    serde_json::from_str(line).map_err(|error| {
        Failure::new("protocol", &error, "use a command of the node's version")
            .ending_with(exit::UNREACHABLE)
    })
}

fn text<'a>(said: &'a Json, name: &str) -> &'a str {
    said[name].as_str().unwrap_or("-")
}

/// The value with a newline; several values one a line.
pub(crate) fn value_lines(said: &Json) -> Vec<u8> {
    let (value, base64) = (&said["value"], &said["value_base64"]);
    let mut out = Vec::new();
    let many = value.as_array().or(base64.as_array());
    let values = many.map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
    for (i, value) in values.iter().enumerate() {
        let base64 = base64.as_array().map_or(base64, |many| &many[i]);
        out.extend(one(value, base64));
        out.push(b'\n');
    }
    out
}

fn one(value: &Json, base64: &Json) -> Vec<u8> {
    if let Some(base64) = base64.as_str() {
        return BASE64.decode(base64.as_bytes()).unwrap_or_default();
    }
    match value {
        Json::String(text) => text.clone().into_bytes(),
        other => other.to_string().into_bytes(),
    }
}

fn peers(said: &Json) -> String {
    let mut out = String::new();
    let row = |out: &mut String, cells: [&str; 7]| {
        let [node, address, region, state, rtt, reputation, link] = cells;
        let _ = writeln!(
            out,
            "{node:<52} {address:<21} {region:<12} {state:<7} {rtt:>8} {reputation:>10} {link}"
        );
    };
    row(&mut out, ["node", "address", "region", "state", "rtt_ms", "reputation", "link"]);
    for peer in said.as_array().into_iter().flatten() {
        let number = |name: &str| match &peer[name] {
            Json::Null => "-".to_owned(),
            number => number.to_string(),
        };
        let (rtt, reputation) = (number("rtt_ms"), number("reputation"));
        row(
            &mut out,
            [
                text(peer, "node"),
                text(peer, "address"),
                text(peer, "region"),
                text(peer, "state"),
                &rtt,
                &reputation,
                text(peer, "link"),
            ],
        );
    }
    out
}

fn seed(said: &Json) -> String {
    let address = said["address"].as_str().unwrap_or_default();
    match said["failure"].as_str() {
        None => address.to_owned(),
        Some(why) => format!("{address} (not reached: {why})"),
    }
}

fn status(said: &Json) -> String {
    let names = [
        "node",
        "incarnation",
        "mesh",
        "state",
        "members",
        "links",
        "seeds",
        "converged",
        "lag_ms",
        "root",
        "records",
        "clock_skew_ms",
        "storage",
        "storage_error",
        "partition",
        "partition_mode",
        "reachable",
        "required",
        "recovery_ms",
    ];
    let mut out = String::new();
    for name in names {
        let value = match &said[name] {
            Json::String(text) => text.clone(),
            Json::Null => "-".into(),
            Json::Array(seeds) if seeds.is_empty() => "-".into(),
            Json::Array(seeds) => seeds.iter().map(seed).collect::<Vec<_>>().join(", "),
            other => other.to_string(),
        };
        let _ = writeln!(out, "{name:<14} {value}");
    }
    out
}
