//! Configuration: one file of YAML, environment variables and flags become one checked struct in
//! which every value knows where it comes from. Nothing is silently ignored: a key that nobody
//! knows is an error with its line, a key whose capability is not built yet is said to be so.
//!
//! ```text
//!   file ─ tree ─ read ─┐   (each against the table of `keys`)
//!   environment ────────┼─> values ─ defaults ─ rules ─> Effective ─┬─> core_config, options
//!   flags ──────────────┘                │                         ├─> rows, notes
//!                                   Diagnostics                    └─> compare (reload)
//! ```
//!
//! ```
//! use knhk_mesh::config_file;
//! let text = "gossip:\n  fanout: 0\n";
//! let refused = config_file::parse("mesh.yaml", text, &[], []).unwrap_err();
//! assert!(refused.to_string().contains("mesh.yaml:2:11"));
//! let effective = config_file::parse("mesh.yaml", "gossip:\n  fanout: 7\n", &[], []).unwrap();
//! assert_eq!(effective.core_config().fanout, 7);
//! ```

mod diagnostics;
mod effective;
pub mod keys;
pub mod model;
mod notes;
mod place;
mod read;
mod rules;
mod settings;
mod show;
mod spelling;
mod suggest;
mod syntax;
mod topology;
mod tree;
mod value;
mod values;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use effective::{Effective, Reload, Row};
pub use notes::Note;
pub use place::{Origin, Place};
pub use settings::NotRunnable;
pub use topology::{Scope, Topology};
pub use value::{Kind, NumberRange, Value};
pub use values::{FlagValue, Setting};

use values::{Values, Variable};

/// Largest file in bytes.
pub const MOST_BYTES: usize = 1 << 20;

/// Reads the file at `path` (`None`: no file) and lays the environment and the flags over it.
/// `environment` is `std::env::vars()`; variables without the prefix `KNHK_MESH_` are passed over.
///
/// # Errors
/// Every error of every layer, the file's by line.
pub fn load(
    path: Option<&Path>,
    flags: &[FlagValue],
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Effective, Diagnostics> {
    let Some(path) = path else { return combine(None, None, flags, environment) };
    let name = path.display().to_string();
    match read_file(path) {
        Ok(bytes) => from_bytes(&name, &bytes, flags, environment),
        Err(one) => Err(Diagnostics::new(&name, "", vec![one])),
    }
}

/// Like [`load`] with the text of a file called `name`.
///
/// # Errors
/// Every error of every layer, the file's by line.
pub fn parse(
    name: &str,
    text: &str,
    flags: &[FlagValue],
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Effective, Diagnostics> {
    from_bytes(name, text.as_bytes(), flags, environment)
}

fn read_file(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    let unreadable = |error: std::io::Error| {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "check the name; deploy/ has one file a topology",
            std::io::ErrorKind::PermissionDenied => "let this user read it: chmod u+r",
            _ => "give the path of a text file",
        };
        Diagnostic::new("unreadable", Origin::Default, format!("cannot read it: {error}"), help)
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn from_bytes(
    name: &str,
    bytes: &[u8],
    flags: &[FlagValue],
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Effective, Diagnostics> {
    let refuse = |text: &str, one| Err(Diagnostics::new(name, text, vec![one]));
    if bytes.len() > MOST_BYTES {
        let message = "the file is larger than 1 MiB, and no configuration is";
        let help = "check that this is the right file";
        return refuse("", Diagnostic::new("too_large", Origin::Default, message, help));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let readable = String::from_utf8_lossy(bytes);
            return refuse(&readable, not_utf8(bytes, error.valid_up_to()));
        }
    };
    combine(Some((name, text)), Some(name), flags, environment)
}

fn not_utf8(bytes: &[u8], at: usize) -> Diagnostic {
    let before = String::from_utf8_lossy(&bytes[..at]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    let byte = bytes.get(at).copied().unwrap_or_default();
    Diagnostic::new(
        "not_utf8",
        Origin::File(Place::new(line, column, 1)),
        format!("the byte 0x{byte:02x} is not UTF-8 text"),
        "save the file as UTF-8",
    )
}

fn combine(
    file: Option<(&str, &str)>,
    name: Option<&str>,
    flags: &[FlagValue],
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Effective, Diagnostics> {
    let mut found = Vec::new();
    let mut values = Values::default();
    let mut readable = true;
    if let Some((_, text)) = file {
        match tree::read(text, &mut found) {
            Ok(root) if root.is_null() => {
                found.push(tree::empty());
                readable = false;
            }
            Ok(root) => values = read::read(&root, &mut found),
            Err(one) => {
                found.push(one);
                readable = false;
            }
        }
    }
    let mut strays = Vec::new();
    values.lay(from_environment(environment, &mut strays, &mut found));
    values.lay(from_flags(flags, &mut found));
    values.fill();
    if readable {
        rules::check(&values, &mut found);
    }
    if found.is_empty() {
        return Ok(Effective::new(name.map(str::to_owned), values, strays));
    }
    Err(Diagnostics::new(name.unwrap_or("-"), file.map_or("", |(_, text)| text), found))
}

fn from_environment(
    environment: impl IntoIterator<Item = (String, String)>,
    strays: &mut Vec<String>,
    found: &mut Vec<Diagnostic>,
) -> Values {
    let mut values = Values::default();
    let mut variables: Vec<(String, String)> = environment.into_iter().collect();
    variables.sort();
    for (name, text) in variables {
        match values::variable(&name) {
            Variable::Other => {}
            Variable::Stray => strays.push(name),
            Variable::Unknown(nearest) => {
                let message = format!("the environment variable {name} is no key");
                let help = nearest.map_or_else(
                    || "unset it; `knhk-mesh config show` lists the keys".into(),
                    |nearest| format!("did you mean {nearest}?"),
                );
                let origin = Origin::Environment(name);
                found.push(Diagnostic::new("unknown_key", origin, message, help));
            }
            Variable::Sets(key) => {
                take(&mut values, key, &text, Origin::Environment(name), found);
            }
        }
    }
    values
}

fn from_flags(flags: &[FlagValue], found: &mut Vec<Diagnostic>) -> Values {
    let mut values = Values::default();
    for flag in flags {
        let key = keys::find(flag.key);
        assert!(key.is_some(), "the flag {} sets no key", flag.flag);
        if let Some(key) = key {
            take(&mut values, key, &flag.text, Origin::Flag(flag.flag.clone()), found);
        }
    }
    values
}

fn take(
    values: &mut Values,
    key: &'static keys::Key,
    text: &str,
    origin: Origin,
    found: &mut Vec<Diagnostic>,
) {
    match values::one_line(key, text) {
        Ok(value) => values.put(key.path, value, origin, Vec::new()),
        Err(wrong) => {
            let message = format!("`{}` {}", key.path, wrong.what);
            found.push(Diagnostic::new(wrong.code, origin, message, wrong.help));
            values.fail(key.path);
        }
    }
}
