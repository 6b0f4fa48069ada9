//! SQL text is built in files named `sql.rs` only, so that quoting and binding are looked at in one place.

use super::source::lex;
use super::{File, Finding};

/// How a statement begins that reads or changes tables.
const STATEMENTS: [&str; 6] = ["SELECT ", "INSERT INTO", "CREATE TABLE", "ALTER TABLE", "DELETE FROM", "MERGE INTO"];

pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    if is_exempt(file) {
        return;
    }
    for (number, line) in lex(&file.text).iter().enumerate() {
        if line.code.contains("#[cfg(test)]") {
            break;
        }
        let statement = STATEMENTS.iter().find(|statement| line.strings.contains(*statement)).copied();
        let update = line.strings.contains("UPDATE ") && line.strings.contains(" SET ");
        if let Some(statement) = statement.or(update.then_some("UPDATE")) {
            let message =
                format!("move `{}` into this crate's sql.rs: SQL text is built nowhere else", statement.trim());
            findings.push(Finding::new(&file.path, number + 1, message));
        }
    }
}

/// Tests and readers of what is there may say what they want to see.
fn is_exempt(file: &File) -> bool {
    let name = file.name();
    name == "sql.rs"
        || file.path.contains("/sql/")
        || file.path.starts_with("tests/")
        || file.path.contains("/tests/")
        || file.path.contains("/examples/")
        || name.contains("probe")
        || name.contains("read")
        || name == "tests.rs"
}

#[cfg(test)]
mod tests {
    use super::super::found;

    #[test]
    fn sql_stands_in_its_own_files() {
        let source = "//! For x.\nconst Q: &str = \"SELECT 1\";\n";
        assert_eq!(found("connectors/x/src/commit.rs", source).len(), 1);
        assert_eq!(found("connectors/x/src/sql.rs", source).len(), 0);
        assert_eq!(found("connectors/x/tests/behaviour.rs", source).len(), 0);
        assert_eq!(found("connectors/x/src/commit.rs", "//! For x.\n// SELECT 1\n").len(), 0);
        assert_eq!(
            found("connectors/x/src/commit.rs", "//! For x.\nconst Q: &str = \"UPDATE t SET a = 1\";\n").len(),
            1
        );
        assert_eq!(
            found("connectors/x/src/commit.rs", &format!("//! For x.\n#[cfg(test)]\nmod tests {{\n{source}}}\n")).len(),
            0
        );
    }
}
