//! Checks that a page is well-formed as XML is: every element closed, in order; every attribute
//! quoted; ids unique and every one that is named there.

use std::collections::BTreeSet;

pub(crate) fn check(page: &str) -> Result<(), String> {
    let body = page.strip_prefix("<!doctype html>\n").ok_or("no doctype")?;
    let mut open: Vec<&str> = Vec::new();
    let (mut ids, mut named) = (BTreeSet::new(), BTreeSet::new());
    let mut rest = body;
    while let Some(at) = rest.find('<') {
        text(&rest[..at], open.last() == Some(&"style"))?;
        let end = tag_end(&rest[at..]).ok_or("a tag without its end")? + at;
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let opened = open.pop();
            if opened != Some(name) {
                return Err(format!("</{name}> closes {opened:?}"));
            }
            continue;
        }
        let inner = tag.strip_suffix('/').unwrap_or(tag);
        let (name, attributes) = inner.split_once([' ', '\n']).unwrap_or((inner, ""));
        if !name.chars().all(|c| c.is_ascii_alphanumeric()) || name.is_empty() {
            return Err(format!("<{tag}> is no element"));
        }
        for (attribute, value) in pairs(attributes)? {
            if attribute == "id" && !ids.insert(value.to_owned()) {
                return Err(format!("id {value} is there twice"));
            }
            if attribute == "aria-labelledby" {
                named.extend(value.split(' ').map(String::from));
            }
            if let Some(id) = value.strip_prefix("url(#") {
                named.insert(id.trim_end_matches(')').to_owned());
            }
        }
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    if !open.is_empty() {
        return Err(format!("never closed: {open:?}"));
    }
    let missing: Vec<_> = named.difference(&ids).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("no such ids: {missing:?}")) }
}

/// Where the tag ends; a `>` in quotes does not end it.
fn tag_end(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == '>' && !quoted).then_some(at)
    })
}

fn text(text: &str, is_style: bool) -> Result<(), String> {
    for (at, _) in text.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        if !known.iter().any(|entity| text[at..].starts_with(entity)) {
            return Err(format!("a bare & in {text:?}"));
        }
    }
    if text.contains('>') && !is_style { Err(format!("a bare > in {text:?}")) } else { Ok(()) }
}

fn pairs(mut attributes: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut out = Vec::new();
    loop {
        attributes = attributes.trim();
        if attributes.is_empty() {
            return Ok(out);
        }
        let wrong = || format!("attributes {attributes:?}");
        let (name, rest) = attributes.split_once("=\"").ok_or_else(wrong)?;
        let (value, rest) = rest.split_once('"').ok_or_else(wrong)?;
        if name.contains(' ') {
            return Err(wrong());
        }
        out.push((name, value));
        attributes = rest;
    }
}

#[test]
fn bad_markup_is_noticed() {
    let page = |body: &str| check(&format!("<!doctype html>\n{body}"));
    assert_eq!(page("<p class=\"a>b\">x &amp; y</p><meta a=\"1\" />"), Ok(()));
    for bad in [
        "<p>",
        "<p></b></p>",
        "<p a=b></p>",
        "<p>a & b</p>",
        "<p>a > b</p>",
        "<p id=\"a\"></p><p id=\"a\"></p>",
        "<p aria-labelledby=\"a\"></p>",
        "<1>",
        "<p",
    ] {
        assert!(page(bad).is_err(), "{bad}");
    }
}
