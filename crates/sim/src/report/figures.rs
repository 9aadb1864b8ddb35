//! Figures as people read them. Each is a number and its unit; what is no number is a dash, so that
//! a report from a strange hand still prints.

/// `1,234,567`; negative numbers keep their sign.
pub(super) fn grouped(value: i128) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value < 0 {
        out.push('−');
    }
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// With as many decimals as three significant digits need, grouped above a thousand.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let size = value.abs();
    if value == value.trunc() || size >= 999.5 {
        return grouped(value.round() as i128);
    }
    let decimals = if size >= 99.95 {
        0
    } else if size >= 9.995 {
        1
    } else if size >= 0.0995 {
        2
    } else {
        4
    };
    let text = format!("{value:.decimals$}");
    text.replacen('-', "−", 1)
}

/// A large count in short: `1.23 M`.
pub(super) fn short(value: f64) -> String {
    let steps = [(1e9, " G"), (1e6, " M"), (1e4, " k")];
    match steps.into_iter().find(|(at, _)| value.abs() >= *at && value.is_finite()) {
        Some((1e4, unit)) => number(value / 1e3) + unit,
        Some((at, unit)) => number(value / at) + unit,
        None => number(value),
    }
}

/// A share of 0-1 in per cent. Only a whole is `100 %`: one node of a million missing shows.
pub(super) fn percent(share: f64) -> String {
    let value = share * 100.0;
    if !value.is_finite() {
        return "–".into();
    }
    let exact = value == 0.0 || value == 100.0;
    let text = if exact {
        format!("{value:.0}")
    } else if value < 0.1 {
        format!("{:.4}", value.max(0.0001))
    } else if value > 99.9 && value < 100.0 {
        format!("{:.4}", value.min(99.9999))
    } else {
        format!("{value:.1}")
    };
    let trimmed = if text.contains('.') { text.trim_end_matches('0') } else { &text };
    format!("{} %", trimmed.trim_end_matches('.'))
}

/// The same with one decimal always, for columns. Neither end is claimed before it is reached.
pub(super) fn column_percent(share: f64) -> String {
    let value = share * 100.0;
    match value {
        _ if !value.is_finite() => "–".into(),
        _ if value > 0.0 && value < 0.1 => "< 0.1 %".into(),
        _ if value > 99.9 && value < 100.0 => "99.9 %".into(),
        _ => format!("{value:.1} %"),
    }
}

/// `812 B`, `4.2 KiB`, `1.6 GiB`.
pub(super) fn bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (value, 0);
    while value.abs() >= 1_024.0 && unit + 1 < units.len() {
        value /= 1_024.0;
        unit += 1;
    }
    let text = if unit == 0 && value.is_finite() {
        grouped(value.round() as i128)
    } else if value.is_finite() {
        format!("{value:.1}")
    } else {
        "–".into()
    };
    format!("{text} {}", units[unit])
}

/// `583 ms`, `1.24 s`.
pub(super) fn time(ms: f64) -> String {
    if ms.is_finite() && ms.abs() >= 1_000.0 {
        format!("{} s", number(ms / 1_000.0))
    } else {
        format!("{} ms", number(ms))
    }
}

/// A figure in the unit that a [`super::Target`] names.
pub(super) fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "ms" => time(value),
        "bytes" => bytes(value),
        "share" => percent(value),
        "" | "rounds" | "copies" => number(value),
        _ => format!("{} {unit}", number(value)),
    }
}

/// `n` and the word, in the plural unless it is one.
pub(crate) fn count(n: u64, word: &str) -> String {
    format!("{} {word}{}", grouped(i128::from(n)), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits_and_are_grouped() {
        let shown = [0.0, 7.0, 0.04, 1.316, 45.67, 999.9, 1_234.5, -2.5, f64::NAN].map(number);
        let expected = ["0", "7", "0.0400", "1.32", "45.7", "1,000", "1,235", "−2.50", "–"];
        assert_eq!(shown, expected);
        assert_eq!(grouped(-1_234_567), "−1,234,567");
        assert_eq!(
            [999.0, 12_300.0, 5_150_000.0, 2e9].map(short),
            ["999", "12.3 k", "5.15 M", "2 G"]
        );
    }

    #[test]
    fn only_a_whole_is_a_hundred_per_cent() {
        let shown = [0.0, 0.1, 0.333, 0.999_999, 0.999_999_999, 1.0, 1e-9].map(percent);
        assert_eq!(shown, ["0 %", "10 %", "33.3 %", "99.9999 %", "99.9999 %", "100 %", "0.0001 %"]);
    }

    #[test]
    fn in_a_column_every_share_has_one_decimal() {
        let shown = [0.0, 0.000_1, 0.34, 0.999_99, 1.0].map(column_percent);
        assert_eq!(shown, ["0.0 %", "< 0.1 %", "34.0 %", "99.9 %", "100.0 %"]);
    }

    #[test]
    fn sizes_and_times_choose_their_unit() {
        assert_eq!([812.4, 4_300.0, 1.7e9].map(bytes), ["812 B", "4.2 KiB", "1.6 GiB"]);
        assert_eq!([583.0, 1_240.0, 30_000.0].map(time), ["583 ms", "1.24 s", "30 s"]);
        assert_eq!(with_unit(3.5, "copies"), "3.50");
        assert_eq!(with_unit(3.0, "links"), "3 links");
        assert_eq!(
            (count(1, "round"), count(1_200, "node")),
            ("1 round".into(), "1,200 nodes".into())
        );
    }
}
