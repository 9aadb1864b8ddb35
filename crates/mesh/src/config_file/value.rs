//! The types of values, and how text becomes one of them. The same reading serves the file, the
//! environment and the flags, so a value is right or wrong everywhere alike.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use knhk_mesh_core::identity::NodeId;

use super::diagnostics::shown;
use super::keys::Key;
use super::spelling;
use super::suggest::nearest;

/// A number, or a range of them: `100` or `10-100`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NumberRange {
    /// Least.
    pub min: u64,
    /// Greatest; not below `min`.
    pub max: u64,
}

impl fmt::Display for NumberRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{}-{}", self.min, self.max)
        }
    }
}

/// What a key may hold.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// One of these words, in upper or lower case.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number between these, both allowed.
    Number(u64, u64),
    /// One of these numbers.
    OneOf(&'static [u64]),
    /// A share from 0 to 1.
    Share,
    /// A number or a range between these, both allowed.
    Range(u64, u64),
    /// Text of 1 to so many bytes.
    Text(usize),
    /// `host:port`.
    Contact,
    /// `host:port` of a collector, with `http://` or `https://` and `{region}` allowed.
    Endpoint,
    /// `ip:port`.
    Address,
    /// A node id: 52 characters of base32.
    NodeId,
    /// A list of texts, each of 1 to so many bytes.
    Texts(usize),
    /// A list of `host:port`.
    Contacts,
    /// A list of `ip:port`.
    Addresses,
    /// A list of node ids.
    NodeIds,
    /// A list of `region: host:port`.
    Endpoints,
}

/// What a key holds.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Number(u64),
    /// A share from 0 to 1.
    Share(f64),
    /// A number or a range.
    Range(NumberRange),
    /// Text; words are in the spelling of this documentation.
    Text(String),
    /// A list.
    List(Vec<String>),
    /// Names and endpoints.
    Endpoints(Vec<(String, String)>),
}

impl fmt::Display for Value {
    /// As it stands in a file, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Flag(value) => write!(f, "{value}"),
            Value::Number(value) => write!(f, "{value}"),
            Value::Share(value) => write!(f, "{value}"),
            Value::Range(value) => write!(f, "{value}"),
            Value::Text(value) => f.write_str(value),
            Value::List(values) => write!(f, "[{}]", values.join(", ")),
            Value::Endpoints(values) => {
                let each: Vec<String> = values.iter().map(|(r, e)| format!("{r}: {e}")).collect();
                write!(f, "[{}]", each.join(", "))
            }
        }
    }
}

/// Why text is not the value of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wrong {
    pub(super) code: &'static str,
    /// Goes behind the key's name: `gossip.fanout` + ` is 0; ...`.
    pub(super) what: String,
    pub(super) help: String,
}

fn wrong(code: &'static str, what: impl Into<String>, help: impl Into<String>) -> Wrong {
    Wrong { code, what: what.into(), help: help.into() }
}

impl Kind {
    /// The kind of the items, if this is a list of scalars.
    pub(super) fn item(self) -> Option<Kind> {
        match self {
            Kind::Texts(most) => Some(Kind::Text(most)),
            Kind::Contacts => Some(Kind::Contact),
            Kind::Addresses => Some(Kind::Address),
            Kind::NodeIds => Some(Kind::NodeId),
            _ => None,
        }
    }

    pub(super) fn is_list(self) -> bool {
        self.item().is_some() || self == Kind::Endpoints
    }

    /// What is allowed, in words.
    #[must_use]
    pub fn allowed(self) -> String {
        match self {
            Kind::Word(words) => any_of(words),
            Kind::Flag => "true or false".into(),
            Kind::Number(min, max) => format!("{min}-{max}"),
            Kind::OneOf(numbers) => any_of(&numbers.iter().map(u64::to_string).collect::<Vec<_>>()),
            Kind::Share => "a share from 0 to 1".into(),
            Kind::Range(min, max) => format!("a number or a range such as 10-100, in {min}-{max}"),
            Kind::Text(most) => format!("text of 1 to {most} bytes"),
            Kind::Contact | Kind::Endpoint => "host:port".into(),
            Kind::Address => "ip:port".into(),
            Kind::NodeId => "a node id, 52 characters".into(),
            Kind::Texts(_) => "a list of texts".into(),
            Kind::Contacts => "a list of host:port".into(),
            Kind::Addresses => "a list of ip:port".into(),
            Kind::NodeIds => "a list of node ids".into(),
            Kind::Endpoints => "a list of region: host:port".into(),
        }
    }

    /// A value of this kind that is right, for help texts.
    pub(super) fn example(self) -> String {
        match self {
            Kind::Word(words) => words.first().map_or(String::new(), |word| (*word).into()),
            Kind::Flag => "true".into(),
            Kind::Number(min, max) => 100.clamp(min, max).to_string(),
            Kind::OneOf(numbers) => numbers.last().map_or(String::new(), u64::to_string),
            Kind::Share => "0.99".into(),
            Kind::Range(min, max) => {
                format!("{}-{}", 10.clamp(min, max), (10 * min).clamp(100, max))
            }
            Kind::Text(_) => "some-name".into(),
            Kind::Endpoint => "otel-collector.internal:4317".into(),
            Kind::Contact => "mesh-seed-1.internal:9000".into(),
            Kind::Address => "127.0.0.1:9000".into(),
            Kind::NodeId => "the line that `knhk-mesh keygen` prints".into(),
            Kind::Endpoints => "[us-east-1: otel-us.internal:4317]".into(),
            list => format!("[{}]", list.item().map_or(String::new(), Kind::example)),
        }
    }

    /// Reads one scalar; `quoted` text is no number and no flag.
    pub(super) fn scalar(self, text: &str, quoted: bool) -> Result<Value, Wrong> {
        match self {
            Kind::Word(words) => word(text, words),
            Kind::Flag => flag(text, quoted),
            Kind::Number(min, max) => {
                let number = whole(text, quoted, self)?;
                bounded(number, min, max, self).map(Value::Number)
            }
            Kind::OneOf(numbers) => {
                let number = whole(text, quoted, self)?;
                if numbers.contains(&number) {
                    return Ok(Value::Number(number));
                }
                let later = if numbers.len() > 1 && [4, 7, 10].contains(&number) {
                    " (4, 7 and 10 wait for signed votes)"
                } else {
                    ""
                };
                let help = format!("write {}{later}", self.allowed());
                let what = format!("is {number}; allowed is {}", self.allowed());
                Err(wrong("out_of_range", what, help))
            }
            Kind::Share => share(text, quoted),
            Kind::Range(min, max) => range(text, min, max).map(Value::Range),
            Kind::Text(most) => bytes(text, most),
            Kind::Contact => contact(text).map(|()| Value::Text(text.into())),
            Kind::Endpoint => endpoint(text),
            Kind::Address => address(text),
            Kind::NodeId => node_id(text),
            _ => Err(wrong("wrong_type", "is one value, and a list belongs here", String::new())),
        }
    }
}

/// Reads the value of `key`. What was probably meant is said in the unit of the key.
pub(super) fn of_key(key: &Key, text: &str, quoted: bool) -> Result<Value, Wrong> {
    key.kind.scalar(text, quoted).map_err(|wrong| match key.kind {
        Kind::Number(min, max) if wrong.code == "wrong_type" => {
            let meant = spelling::whole(text, key.path).filter(|n| (min..=max).contains(n));
            let help = match meant {
                Some(number) if quoted && !text.contains('\n') => {
                    format!("write {number} without quotes")
                }
                Some(number) => format!("write {number}"),
                None => wrong.help,
            };
            Wrong { help, ..wrong }
        }
        _ => wrong,
    })
}

fn any_of<T: AsRef<str>>(words: &[T]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => (*last).into(),
        None => String::new(),
    }
}

fn word(text: &str, words: &'static [&'static str]) -> Result<Value, Wrong> {
    if let Some(word) = words.iter().find(|word| word.eq_ignore_ascii_case(text)) {
        return Ok(Value::Text((*word).into()));
    }
    let meant = match nearest(text, words.iter().copied()) {
        Some(word) => format!("did you mean `{word}`? Allowed is {}", any_of(words)),
        None => format!("write {}", any_of(words)),
    };
    Err(wrong("out_of_range", format!("is `{}`, which is none of its values", shown(text)), meant))
}

fn flag(text: &str, quoted: bool) -> Result<Value, Wrong> {
    let meant = match text {
        "true" | "false" if !quoted => return Ok(Value::Flag(text == "true")),
        "true" | "True" | "TRUE" | "yes" | "Yes" | "on" | "On" | "1" => "true",
        "false" | "False" | "FALSE" | "no" | "No" | "off" | "Off" | "0" => "false",
        _ => "true or false",
    };
    let quotes = if quoted { ", without quotes" } else { "" };
    let what = format!("is `{}`, and only true or false has a meaning", shown(text));
    Err(wrong("wrong_type", what, format!("write {meant}{quotes}")))
}

fn whole(text: &str, quoted: bool, kind: Kind) -> Result<u64, Wrong> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let number = digits.parse::<u64>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
    match number {
        Some(number) if !quoted => Ok(number),
        Some(_) => {
            let what = format!("is the text \"{}\", and a number belongs here", shown(text));
            Err(wrong("wrong_type", what, format!("write {digits} without quotes")))
        }
        None => Err(not_whole(text, kind)),
    }
}

fn not_whole(text: &str, kind: Kind) -> Wrong {
    let allowed = kind.allowed();
    let help = format!("write a whole number, {allowed}");
    let plain: String = text.chars().filter(|c| !matches!(c, '_' | ',' | '\'' | ' ')).collect();
    let is_digits = !plain.is_empty() && plain.bytes().all(|b| b.is_ascii_digit());
    if is_digits && plain.len() > 19 || text.parse::<f64>().is_ok_and(|number| number < 0.0) {
        return wrong("out_of_range", format!("is {}; allowed is {allowed}", shown(text)), help);
    }
    if is_digits {
        let what = format!("is `{}`, and numbers have digits only", shown(text));
        return wrong("wrong_type", what, format!("write {plain}"));
    }
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    if unit.len() < text.len() && unit.chars().all(|c| c.is_ascii_alphabetic() || c == ' ') {
        let number = &text[..text.len() - unit.len()];
        let what = format!("is `{}`, and the unit stands in the key's name", shown(text));
        return wrong(
            "wrong_type",
            what,
            format!("write the number alone, in that unit, such as {number}"),
        );
    }
    wrong("wrong_type", format!("is `{}`, and a whole number belongs here", shown(text)), help)
}

fn bounded(number: u64, min: u64, max: u64, kind: Kind) -> Result<u64, Wrong> {
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    let near = number.clamp(min, max);
    let what = format!("is {number}; allowed is {}", kind.allowed());
    Err(wrong(
        "out_of_range",
        what,
        format!("write a number in {min}-{max}; the nearest is {near}"),
    ))
}

fn share(text: &str, quoted: bool) -> Result<Value, Wrong> {
    let help = |number: f64| {
        if (2.0..=100.0).contains(&number) {
            format!("write {} for {number} %", number / 100.0)
        } else {
            "write a number from 0 to 1, such as 0.5".into()
        }
    };
    if let Some(percent) = text.strip_suffix('%').and_then(|part| part.trim().parse().ok()) {
        let what = format!("is `{}`, and a share from 0 to 1 belongs here", shown(text));
        return Err(wrong("wrong_type", what, help(percent)));
    }
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    if let Ok(number) = text.replace(',', ".").parse::<f64>()
        && text.contains(',')
        && (0.0..=1.0).contains(&number)
    {
        let what = format!("is `{}`, and a share from 0 to 1 belongs here", shown(text));
        return Err(wrong("wrong_type", what, format!("write {number}, with a point")));
    }
    match text.parse::<f64>() {
        Ok(number) if plain && !quoted && (0.0..=1.0).contains(&number) => Ok(Value::Share(number)),
        Ok(number) if plain && !quoted => {
            let what = format!("is {}; allowed is 0-1", shown(text));
            Err(wrong("out_of_range", what, help(number)))
        }
        _ => {
            let what = format!("is `{}`, and a share from 0 to 1 belongs here", shown(text));
            Err(wrong("wrong_type", what, "write a number from 0 to 1, such as 0.5"))
        }
    }
}

fn range(text: &str, min: u64, max: u64) -> Result<NumberRange, Wrong> {
    let kind = Kind::Range(min, max);
    let (low, high) = match text.split_once('-') {
        Some((low, high)) if !low.trim().is_empty() => (low.trim(), high.trim()),
        _ => (text, text),
    };
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u64>().ok().filter(|_| digits)
    };
    let (Some(low), Some(high)) = (number(low), number(high)) else {
        let what = format!("is `{}`, and a number or a range belongs here", shown(text));
        let code = if text.parse::<i64>().is_ok() { "out_of_range" } else { "wrong_type" };
        let meant = spelling::range(text).map(|range| range.to_string());
        let meant = meant.or_else(|| Some(spelling::whole(text, "")?.to_string()));
        let meant = meant.unwrap_or_else(|| kind.allowed());
        return Err(wrong(code, what, format!("write {meant}")));
    };
    if low > high {
        let what = format!("is {low}-{high}, which ends before it begins");
        return Err(wrong("out_of_range", what, format!("write {high}-{low}")));
    }
    if low < min || high > max {
        let what = format!("is {}; allowed is {min}-{max}", NumberRange { min: low, max: high });
        let near = NumberRange { min: low.clamp(min, max), max: high.clamp(min, max) };
        return Err(wrong(
            "out_of_range",
            what,
            format!("write numbers in {min}-{max}, such as {near}"),
        ));
    }
    Ok(NumberRange { min: low, max: high })
}

fn bytes(text: &str, most: usize) -> Result<Value, Wrong> {
    if text.trim().is_empty() {
        return Err(wrong("missing_value", "is empty", "write a name, or delete the line"));
    }
    if text.len() > most {
        let what = format!("has {} bytes; allowed is 1-{most}", text.len());
        return Err(wrong("out_of_range", what, "write a shorter one"));
    }
    // Names are printed in logs and on terminals.
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        let what = format!("is `{}`, which is not one line of text", shown(text));
        return Err(wrong("wrong_type", what, "write it without control characters"));
    }
    Ok(Value::Text(text.into()))
}

/// `host:port` with a name, an IPv4 address or an IPv6 address in brackets.
pub(super) fn contact(text: &str) -> Result<(), Wrong> {
    let bad = |what: String, help: String| Err(wrong("wrong_type", what, help));
    if let Some((scheme, rest)) = text.split_once("://") {
        let what = format!("is `{}`, and an address has no `{scheme}://`", shown(text));
        return bad(what, format!("write {}", shown(rest.trim_end_matches('/'))));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => (host, port),
        Some((_, port)) => {
            return bad(
                format!("is `{}`: the host is missing", shown(text)),
                format!("write host:{port}"),
            );
        }
        None => {
            let what = format!("is `{}`: the port is missing", shown(text));
            return bad(what, format!("write {}:9000, with the port of that node", shown(text)));
        }
    };
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        let what = format!("is `{}`, and an IPv6 address stands in brackets", shown(text));
        return bad(what, format!("write [{}]:{}", shown(host), shown(port)));
    }
    let inner = host.trim_start_matches('[').trim_end_matches(']');
    let is_v6 = host.starts_with('[') && inner.parse::<Ipv6Addr>().is_ok();
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !is_v6 && (!host.chars().all(named) || host.len() > 253) {
        let what = format!("is `{}`: `{}` is no name of a host", shown(text), shown(host));
        return bad(what, "write a host name or an ip, a colon and a port".into());
    }
    if let Some(why) = undialable(inner) {
        let what = format!("is `{}`: `{}` {why}", shown(text), shown(host));
        return bad(what, "write the name or the ip of one host, a colon and a port".into());
    }
    match port.parse::<u16>() {
        Ok(1..) if port.bytes().all(|b| b.is_ascii_digit()) => Ok(()),
        _ => {
            let what = format!("is `{}`: `{}` is no port", shown(text), shown(port));
            Err(wrong("out_of_range", what, "write a port in 1-65535 behind the colon"))
        }
    }
}

/// Why nobody answers at a host, whatever its port.
fn undialable(host: &str) -> Option<&'static str> {
    match host.parse::<IpAddr>() {
        Ok(ip) if names_no_host(ip) => Some("is not the address of one host"),
        Err(_) if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            Some("is no IPv4 address: it has four numbers in 0-255")
        }
        _ => None,
    }
}

/// "Any" is the dialling host itself; a group or everybody is nobody to shake hands with.
pub(super) fn names_no_host(ip: IpAddr) -> bool {
    let everybody = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    ip.is_unspecified() || ip.is_multicast() || everybody
}

pub(super) fn endpoint(text: &str) -> Result<Value, Wrong> {
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let bare = bare.unwrap_or(text).trim_end_matches('/').replace("{region}", "region");
    let collector = |refused: Wrong| Wrong {
        help: refused.help.replace(":9000, with the port of that node", ":4317"),
        ..refused
    };
    contact(&bare).map(|()| Value::Text(text.into())).map_err(collector)
}

fn address(text: &str) -> Result<Value, Wrong> {
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(Value::Text(text.into()));
    }
    let parts = text.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let is_port =
        parts.is_some_and(|(ip, _)| ip.trim_matches(['[', ']']).parse::<IpAddr>().is_ok());
    let help = match (text.parse::<IpAddr>(), parts) {
        (_, Some((ip, port))) if ip.parse::<Ipv6Addr>().is_ok() => format!("write [{ip}]:{port}"),
        (Ok(IpAddr::V6(ip)), _) => format!("write [{ip}]:9000"),
        (Ok(ip), _) => format!("write {ip}:9000"),
        (Err(_), _) if is_port => "write a port in 0-65535 behind the colon".into(),
        (Err(_), _) if text.starts_with("localhost") => "write 127.0.0.1:9000".into(),
        (Err(_), _) => "write an ip and a port, such as 127.0.0.1:9000 or [::1]:9000".into(),
    };
    Err(wrong("wrong_type", format!("is `{}`, and ip:port belongs here", shown(text)), help))
}

fn node_id(text: &str) -> Result<Value, Wrong> {
    if text.parse::<NodeId>().is_ok() {
        return Ok(Value::Text(text.into()));
    }
    let what = format!("is `{}`, which is no node id", shown(text));
    let length = text.chars().count();
    let what = if length == 52 { what } else { format!("{what}: it has {length} characters") };
    let lower = text.to_ascii_lowercase();
    let help = if lower != text && lower.parse::<NodeId>().is_ok() {
        format!("write it in lower case: {lower}")
    } else {
        "write the 52 characters (a-z, 2-7) that `knhk-mesh keygen` prints".into()
    };
    Err(wrong("wrong_type", what, help))
}
