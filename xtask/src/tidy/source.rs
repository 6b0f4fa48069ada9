//! Rules for Rust sources, and the small lexer that tells code, comments and strings apart.

use super::{File, Finding};

/// Lines from which a file is too long to hold in the head, and from which it must be split.
const LONG: usize = 600;
const TOO_LONG: usize = 800;

/// What must not be in code that ships.
const MARKS: [&str; 3] = ["todo!(", "unimplemented!(", "dbg!("];

/// Notes to oneself, which belong into the tracker.
const NOTES: [&str; 2] = ["FIXME", "TODO"];

pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    let path = &file.path;
    let opens = file.text.lines().next().unwrap_or_default();
    if !opens.starts_with("//!") && !opens.starts_with("#![doc = include_str!") {
        findings.push(Finding::new(path, 1, "open the file with a `//!` line that says what it is for"));
    }
    let lines = file.text.lines().count();
    if lines > TOO_LONG {
        findings.push(Finding::new(path, lines, format!("split the file: {lines} lines, {TOO_LONG} are the most")));
    } else if lines > LONG {
        findings.push(Finding::warning(path, lines, format!("{lines} lines: think of splitting the file")));
    }
    for (number, line) in lex(&file.text).iter().enumerate() {
        for mark in MARKS {
            if line.code.contains(mark) {
                let message = format!("`{mark}…)` must not stay: write the code or remove it");
                findings.push(Finding::new(path, number + 1, message));
            }
        }
        for note in NOTES {
            if line.comment.contains(note) {
                findings.push(Finding::new(
                    path,
                    number + 1,
                    format!("do it now or file an issue instead of a {note}"),
                ));
            }
        }
        if line.code.contains("#[ignore]") {
            findings.push(Finding::new(path, number + 1, "give the reason: `#[ignore = \"…\"]`"));
        }
    }
}

/// One line of a source, taken apart.
#[derive(Default, Debug, PartialEq)]
pub(super) struct Line {
    /// What the compiler runs, strings emptied.
    pub(super) code: String,
    /// What stands in comments.
    pub(super) comment: String,
    /// What stands in string literals.
    pub(super) strings: String,
}

/// Takes a source apart, line by line.
pub(super) fn lex(text: &str) -> Vec<Line> {
    enum State {
        Code,
        LineComment,
        BlockComment(u32),
        Str,
        RawStr(usize),
    }
    let chars: Vec<char> = text.chars().collect();
    let mut lines = Vec::new();
    let mut line = Line::default();
    let mut state = State::Code;
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        at += 1;
        if c == '\n' {
            if matches!(state, State::LineComment) {
                state = State::Code;
            }
            lines.push(std::mem::take(&mut line));
            continue;
        }
        let next = chars.get(at).copied();
        match state {
            State::Code if c == '/' && next == Some('/') => state = State::LineComment,
            State::Code if c == '/' && next == Some('*') => {
                at += 1;
                state = State::BlockComment(1);
            }
            State::Code if c == '"' => {
                let hashes = line.code.chars().rev().take_while(|c| *c == '#').count();
                let raw = line.code[..line.code.len() - hashes].ends_with('r');
                line.code.push('"');
                state = if raw { State::RawStr(hashes) } else { State::Str };
            }
            State::Code if c == '\'' => {
                // A character literal, or a lifetime: only the former closes within two steps or is escaped.
                line.code.push(c);
                if next == Some('\\') {
                    at += 2;
                    while chars.get(at).is_some_and(|c| *c != '\'' && *c != '\n') {
                        at += 1;
                    }
                } else if chars.get(at + 1) == Some(&'\'') {
                    at += 2;
                }
            }
            State::Code => line.code.push(c),
            State::LineComment => line.comment.push(c),
            State::BlockComment(depth) if c == '*' && next == Some('/') => {
                at += 1;
                state = if depth == 1 { State::Code } else { State::BlockComment(depth - 1) };
            }
            State::BlockComment(depth) if c == '/' && next == Some('*') => {
                at += 1;
                state = State::BlockComment(depth + 1);
            }
            State::BlockComment(_) => line.comment.push(c),
            State::Str if c == '\\' => {
                // An escaped line end must still end the line.
                if next.is_some_and(|next| next != '\n') {
                    at += 1;
                }
            }
            State::Str if c == '"' => {
                line.code.push('"');
                line.strings.push(' ');
                state = State::Code;
            }
            State::RawStr(hashes)
                if c == '"' && chars[at..].iter().take(hashes).filter(|c| **c == '#').count() == hashes =>
            {
                at += hashes;
                line.code.push('"');
                line.strings.push(' ');
                state = State::Code;
            }
            State::Str | State::RawStr(_) => line.strings.push(c),
        }
    }
    if line != Line::default() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    #[test]
    fn the_lexer_tells_code_comments_and_strings_apart() {
        let text = "let a = \"x \\\" y\"; // note\nlet b = r#\"raw \" in\"#;\n/* one /* two */\nthree */ let c = '\"'; let d: &'static str = \"z\";\n";
        let lines = lex(text);
        assert_eq!(lines[0].code, "let a = \"\"; ");
        assert_eq!(lines[0].strings, "x  y ");
        assert_eq!(lines[0].comment, "/ note");
        assert_eq!(lines[1].code, "let b = r#\"\";");
        assert_eq!(lines[1].strings, "raw \" in ");
        assert_eq!(lines[2].code, "");
        assert_eq!(lines[3].code, " let c = '; let d: &'static str = \"\";");
        assert_eq!(lines[3].strings, "z ");
    }

    #[test]
    fn sources_open_with_their_purpose() {
        assert_eq!(found("a/x.rs", "//! For x.\nfn f() {}\n"), [""; 0]);
        assert_eq!(
            found("a/x.rs", "fn f() {}\n"),
            ["a/x.rs:1: open the file with a `//!` line that says what it is for"]
        );
    }

    #[test]
    fn long_files_are_warned_of_then_refused() {
        let source = |lines: usize| format!("//! For x.\n{}", "// y\n".repeat(lines - 1));
        assert_eq!(found("a/x.rs", &source(LONG)), [""; 0]);
        assert!(found("a/x.rs", &source(LONG + 1))[0].contains("warning"));
        assert!(!found("a/x.rs", &source(TOO_LONG + 1))[0].contains("warning"));
    }

    #[test]
    fn marks_in_code_count_and_in_strings_do_not() {
        for mark in MARKS {
            assert_eq!(found("a/x.rs", &format!("//! For x.\nfn f() {{ {mark}) }}\n")).len(), 1, "{mark}");
            assert_eq!(found("a/x.rs", &format!("//! For x.\nconst M: &str = \"{mark}\";\n")).len(), 0, "{mark}");
        }
        assert_eq!(found("a/x.rs", "//! For x.\n// TODO later\n").len(), 1);
        assert_eq!(found("a/x.rs", "//! For x.\n#[ignore]\nfn f() {}\n").len(), 1);
    }
}
