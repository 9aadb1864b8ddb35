//! "Did you mean": the nearest of the words that would have been right.

/// Longer words are not compared: no key has more.
const MOST_CHARS: usize = 64;

/// The word of `words` that is most like `wrong`, if one is like it at all.
pub(super) fn nearest<'a>(
    wrong: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let simple = |text: &str| text.to_ascii_lowercase().replace(['-', ' '], "_");
    let wrong = simple(wrong);
    if wrong.chars().count() > MOST_CHARS {
        return None;
    }
    let words: Vec<&str> = words.into_iter().collect();
    // The unit was left out.
    let with_unit =
        |word: &&&str| word.strip_prefix(wrong.as_str()).is_some_and(|rest| rest.starts_with('_'));
    if let Some(word) = words.iter().find(with_unit).filter(|_| wrong.len() >= 4) {
        return Some(word);
    }
    let near = words.iter().map(|word| (distance(&wrong, &simple(word)), *word));
    let (far, word) = near.min_by_key(|(far, _)| *far)?;
    if far <= 1 + wrong.len().max(word.len()) / 4 {
        return Some(word);
    }
    let part = |word: &&str| {
        (wrong.len() >= 4 && word.contains(&wrong)) || (word.len() >= 4 && wrong.contains(*word))
    };
    words.into_iter().find(part)
}

/// Edits that make one word the other; a swap of neighbours is one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = [vec![0; b.len() + 1], (0..=b.len()).collect(), vec![0; b.len() + 1]];
    for i in 1..=a.len() {
        rows[2][0] = i;
        for j in 1..=b.len() {
            let changed = rows[1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[1][j] + 1).min(rows[2][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[0][j - 2] + 1);
            }
            rows[2][j] = least;
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_nonsense_is_not() {
        let words = ["fanout", "intervals", "interval_ms", "convergence_threshold"];
        let find = |wrong| nearest(wrong, words);
        assert_eq!(find("fan_out"), Some("fanout"));
        assert_eq!(find("faonut"), Some("fanout"));
        assert_eq!(find("Interval-MS"), Some("interval_ms"));
        assert_eq!(find("interval"), Some("interval_ms"));
        assert_eq!(find("treshold"), None);
        assert_eq!(find("threshold"), Some("convergence_threshold"));
        assert_eq!(find("colour"), None);
        assert_eq!(find(""), None);
        assert_eq!(find(&"x".repeat(1 << 16)), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
    }
}
