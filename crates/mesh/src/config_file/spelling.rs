//! What text that is no value was probably meant to be, for the hint of its error: numbers with
//! units, in other bases, with separators; ranges, lists and keys in the manner of other programs.

use super::value::NumberRange;

/// The whole number that `text` says in another way than the key `path` wants it.
pub(super) fn whole(text: &str, path: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok();
    }
    let plain = text.strip_prefix("PT").unwrap_or(text).replace(['_', ',', '\''], "");
    let end = plain.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(plain.len());
    let number = plain.parse::<f64>().or_else(|_| plain[..end].parse::<f64>()).ok()?;
    let unit = if plain.parse::<f64>().is_ok() { "" } else { plain[end..].trim() };
    let scaled = number * scale(&unit.to_ascii_lowercase(), path)?;
    let rounded = scaled.round();
    let is_whole = (0.0..=9e15).contains(&rounded) && (scaled - rounded).abs() < 1e-9;
    is_whole.then_some(rounded as u64)
}

/// By what a number with this unit is multiplied in this key.
fn scale(unit: &str, path: &str) -> Option<f64> {
    let ms = match unit {
        "" => return Some(1.0),
        "ms" => 1.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1e3,
        "m" | "min" | "minute" | "minutes" => 6e4,
        "h" | "hour" | "hours" => 3.6e6,
        "d" | "day" | "days" => 8.64e7,
        "b" | "bytes" if path.contains("payload") => return Some(1.0),
        "k" | "kb" | "kib" if path.contains("payload") => return Some(1024.0),
        _ => return None,
    };
    let base = [("_ms", 1.0), ("_sec", 1e3), ("_hours", 3.6e6)];
    base.iter().find(|(end, _)| path.ends_with(end)).map(|(_, base)| ms / base)
}

/// The range that two numbers with something between them mean: `10..100`, `10 to 100`.
pub(super) fn range(text: &str) -> Option<NumberRange> {
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let numbers: Option<Vec<u64>> = numbers.map(|part| part.parse().ok()).collect();
    let plain = |c: char| c.is_ascii_digit() || " .:-–—~to".contains(c);
    match numbers?[..] {
        [min, max] if min <= max && text.chars().all(plain) => Some(NumberRange { min, max }),
        _ => None,
    }
}

/// The items of a list that stands in one text.
pub(super) fn list(text: &str) -> String {
    let items: Vec<&str> = text
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|item| !item.is_empty())
        .collect();
    items.join(", ")
}

/// Names that other programs have for a key of the section.
const SYNONYMS: [(&str, &str); 14] = [
    ("listen", "node.bind"),
    ("address", "node.bind"),
    ("addr", "node.bind"),
    ("host", "node.bind"),
    ("listen_addr", "node.bind"),
    ("key", "node.identity"),
    ("key_file", "node.identity"),
    ("storage", "node.data_dir"),
    ("dir", "node.data_dir"),
    ("peers", "bootstrap.seeds"),
    ("join", "bootstrap.seeds"),
    ("interval", "gossip.interval_ms"),
    ("algorithm", "security.signature_algo"),
    ("cipher", "security.encryption"),
];

/// The key that another program calls `name`.
pub(super) fn synonym(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    SYNONYMS.iter().find(|(other, _)| *other == name).map(|(_, path)| *path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_understood_in_the_unit_of_their_key() {
        for (text, path, meant) in [
            ("1s", "gossip.interval_ms", Some(1_000)),
            ("0.5s", "gossip.interval_ms", Some(500)),
            ("100ms", "gossip.interval_ms", Some(100)),
            ("1d", "network.cert_rotation_hours", Some(24)),
            ("PT24H", "network.cert_rotation_hours", Some(24)),
            ("90m", "network.cert_rotation_hours", None),
            ("2min", "observability.metrics_interval_sec", Some(120)),
            ("1KiB", "mesh.max_payload", Some(1_024)),
            ("1KiB", "mesh.max_slots", None),
            ("1_024", "mesh.max_slots", Some(1_024)),
            ("1,024", "mesh.max_slots", Some(1_024)),
            ("0x2328", "network.port", Some(9_000)),
            ("9000.0", "network.port", Some(9_000)),
            ("1e3", "agent_count", Some(1_000)),
            ("3\n", "gossip.fanout", Some(3)),
            ("1.5", "gossip.fanout", None),
            ("many", "gossip.fanout", None),
            ("-5", "gossip.fanout", None),
            ("nan", "gossip.fanout", None),
        ] {
            assert_eq!(whole(text, path), meant, "{text} for {path}");
        }
    }

    #[test]
    fn ranges_and_lists_of_other_programs_are_understood() {
        for text in ["10..100", "10 to 100", "10–100", "10:100", "10 - 100"] {
            assert_eq!(range(text), Some(NumberRange { min: 10, max: 100 }), "{text}");
        }
        for text in ["10", "10+", "100..10", "1-2-3", "a10b100", ""] {
            assert_eq!(range(text), None, "{text}");
        }
        assert_eq!(list("a:1, b:2\nc:3\n"), "a:1, b:2, c:3");
    }

    #[test]
    fn a_synonym_is_a_key() {
        for (name, path) in SYNONYMS {
            assert!(super::super::keys::find(path).is_some(), "{name}: {path}");
            assert_eq!(synonym(name), Some(path));
        }
    }
}
