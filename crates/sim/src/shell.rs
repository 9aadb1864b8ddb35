//! Texts as words of a command line, so that a printed command can be run as it stands.

/// `text` as one word of a POSIX shell, quoted if it needs to be.
#[must_use]
pub fn word(text: &str) -> String {
    // The one byte that no shell can pass is in no file name either.
    let text = text.replace('\0', "");
    shlex::try_quote(&text).map(Into::into).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_as_they_were() {
        for text in ["lan", "", "a file.toml", "it's", "$(rm x) `x` \\ \" ; &", "neue\nzeile", "ä"]
        {
            assert_eq!(shlex::split(&word(text)), Some(vec![text.to_owned()]));
        }
        assert_eq!(word("10-50ms"), "10-50ms");
    }
}
