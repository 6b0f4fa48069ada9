//! SQL text as tokens. What Redshift reads otherwise than PostgreSQL is refused here.

use super::Refusal;

/// One token. White space and comments are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A word without quotes, in lower case.
    Word(String),
    /// A quoted name, in lower case too: `enable_case_sensitive_identifier` is off.
    Quoted(String),
    /// A string, its quotes taken off.
    Text(String),
    /// A number as written.
    Number(String),
    /// `$1`
    Parameter(String),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// Every operator and bracket that may stand in a statement, the longest first.
const SIGNS: [&str; 22] = [
    "::", "||", "<=", ">=", "<>", "!=", "(", ")", ",", ";", ".", "+", "-", "*", "/", "%", "<", ">", "=", "[", "]", "|",
];

/// Takes a statement apart.
pub(crate) fn tokens(sql: &str) -> Result<Vec<Token>, Refusal> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = rest.trim_start();
        } else if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let end = comment.find("*/").ok_or_else(|| Refusal::syntax("unterminated /* comment"))?;
            rest = &comment[end + 2..];
        } else {
            let (token, len) = token(rest, first)?;
            tokens.push(token);
            rest = &rest[len..];
        }
    }
    Ok(tokens)
}

fn token(rest: &str, first: char) -> Result<(Token, usize), Refusal> {
    if first == '\'' {
        let (text, len) = delimited(rest, '\'').ok_or_else(|| Refusal::syntax("unterminated quoted string"))?;
        // Redshift reads a backslash in any string as the start of an escape; PostgreSQL 15 does not.
        if text.contains('\\') {
            return Err(Refusal::new(
                "22025",
                "rsemu: a backslash in a string is an escape on Redshift: write CHR(92)",
            ));
        }
        return Ok((Token::Text(text), len));
    }
    if first == '"' {
        let (name, len) = delimited(rest, '"').ok_or_else(|| Refusal::syntax("unterminated quoted identifier"))?;
        if name.is_empty() {
            return Err(Refusal::syntax("zero-length delimited identifier at or near \"\"\"\""));
        }
        // Names and identifiers: "must … contain … UTF-8 printable characters".
        if name.chars().any(char::is_control) {
            return Err(Refusal::new("42602", "rsemu: a name holds a character that is not printable"));
        }
        return Ok((Token::Quoted(name.to_lowercase()), len));
    }
    if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
        let len = number(rest);
        return Ok((Token::Number(rest[..len].to_owned()), len));
    }
    if first == '$' {
        let digits = rest[1..].chars().take_while(char::is_ascii_digit).count();
        if digits > 0 {
            return Ok((Token::Parameter(rest[..=digits].to_owned()), digits + 1));
        }
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    if first.is_alphabetic() || first == '_' {
        let len = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        if rest[len..].starts_with('\'') && len == 1 {
            return Err(Refusal::new("42601", format!("rsemu: {}'…' strings are not on the allow-list", &rest[..len])));
        }
        return Ok((Token::Word(rest[..len].to_lowercase()), len));
    }
    // `->`, `@>`, `?` and the like are operators on types that Redshift lacks ("Unsupported PostgreSQL features").
    for unknown in ["->>", "->", "#>>", "#>", "@>", "<@"] {
        if rest.starts_with(unknown) {
            return Err(Refusal::new("42883", format!("operator does not exist: {unknown}")));
        }
    }
    match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        Some(sign) => Ok((Token::Sign(sign), sign.len())),
        None => Err(Refusal::syntax(format!("syntax error at or near \"{first}\""))),
    }
}

/// What stands between two quotes, doubled ones made single, and the length with quotes.
fn delimited(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            text.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else {
            return Some((text, at + 1));
        }
    }
    None
}

fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut len = digits(0);
    if bytes.get(len) == Some(&b'.') {
        len += 1 + digits(len + 1);
    }
    if matches!(bytes.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        let exponent = digits((len + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_strings_are_kept() {
        let read =
            tokens("SELECT \"Ab\"\"c\", 'It''s' FROM T -- x\n WHERE a>=1.5e-3 /* y */ AND b::int").expect("tokens");
        assert_eq!(read[1], Token::Quoted("ab\"c".into()));
        assert_eq!(read[3], Token::Text("It's".into()));
        assert_eq!(read[5], Token::Word("t".into()));
        assert_eq!(read[8], Token::Sign(">="));
        assert_eq!(read[9], Token::Number("1.5e-3".into()));
        assert_eq!(read[12], Token::Sign("::"));
    }

    #[test]
    fn what_redshift_reads_otherwise_is_refused() {
        for (sql, code) in [
            ("SELECT 'a\\b'", "22025"),
            ("SELECT E'a'", "42601"),
            ("SELECT a->>'b'", "42883"),
            ("SELECT \"a\u{7}\"", "42602"),
            ("SELECT 'open", "42601"),
            ("SELECT `a`", "42601"),
        ] {
            assert_eq!(tokens(sql).expect_err(sql).code, code, "{sql}");
        }
    }
}
