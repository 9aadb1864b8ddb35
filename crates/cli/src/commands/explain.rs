//! How `peers --explain` is printed: a line for each node, and under it what there is to say.

use std::fmt::Write as _;

use serde_json::Value as Json;

/// The answer as text.
pub(super) fn text(said: &Json) -> String {
    let mut out = String::new();
    for peer in said.as_array().into_iter().flatten() {
        let node = peer["node"].as_str().unwrap_or("-");
        let state = peer["state"].as_str().unwrap_or("-");
        let link = peer["link"].as_str().map(|link| format!(", {link}")).unwrap_or_default();
        let reputation = number(peer, "reputation");
        let _ = writeln!(out, "{node}  {state}{link}, reputation {reputation:.3}{}", trust(peer));
        let reasons = reasons(peer);
        if reasons.is_empty() {
            out.push_str("  nothing against it\n");
        }
        for reason in reasons {
            let _ = writeln!(out, "  {reason}");
        }
    }
    out
}

fn number(of: &Json, name: &str) -> f64 {
    of[name].as_f64().unwrap_or_default()
}

fn trust(peer: &Json) -> String {
    let threshold = number(peer, "threshold");
    if peer["trusted"] == true {
        return format!(" (trusted from {threshold:.3} on)");
    }
    let seconds = &peer["trusted_in_s"];
    format!(" (NOT trusted, below {threshold:.3}; again in {seconds} s if it does nothing more)")
}

fn reasons(peer: &Json) -> Vec<String> {
    let mut all = Vec::new();
    for part in peer["taken"].as_array().into_iter().flatten() {
        all.push(format!(
            "-{:.3}  {}: {} ({} times, last {} s ago)",
            number(part, "amount"),
            part["reason"].as_str().unwrap_or("-"),
            part["means"].as_str().unwrap_or("-"),
            part["times"],
            part["last_s"],
        ));
    }
    let back = number(peer, "given_back");
    if back != 0.0 {
        let whose = if back > 0.0 { "mended since" } else { "taken by the application" };
        all.push(format!("{back:+.3}  {whose}"));
    }
    if number(peer, "reputation") < 1.0 {
        all.push(format!("whole again in {} s if it does nothing more", peer["whole_in_s"]));
    }
    if number(peer, "strikes") > 0.0 {
        let (strikes, limit) = (&peer["strikes"], &peer["strikes_limit"]);
        all.push(format!("{strikes} strikes for seconds beyond its budgets; {limit} end its link"));
    }
    if let Some(seconds) = peer["barred_s"].as_u64() {
        all.push(format!("barred: its link was ended, and it stays out for {seconds} s yet"));
    }
    let accused = &peer["accused"];
    if accused["certified"] == true {
        let (observers, quorum) = (&accused["observers"], &accused["quorum"]);
        all.push(format!("certified dead: {observers} observers do not reach it, {quorum} needed"));
    } else if number(accused, "observers") > 0.0 {
        let (observers, quorum) = (&accused["observers"], &accused["quorum"]);
        all.push(format!("suspected: {observers} observers do not reach it, {quorum} are needed"));
    }
    if accused["own_search"] == true {
        all.push("suspected: this node looked for it in vain".into());
    }
    if number(peer, "convicted") > 0.0 {
        let rest = if peer["key_convicted"] == true { ", so its key is" } else { "" };
        all.push(format!(
            "convicted: {} of its starts forked their records{rest}",
            peer["convicted"]
        ));
    }
    if peer["denied"] == true {
        all.push("denied by the operator, for good".into());
    } else if let Some(up_to) = peer["void_up_to"].as_u64() {
        all.push(format!("forgotten by the operator: what it signed up to start {up_to} is void"));
    }
    all
}
