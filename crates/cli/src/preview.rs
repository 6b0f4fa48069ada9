//! Reading tables back, where a warehouse lets us: today the SQLite files.

use crate::failure::Failure;
use serde_json::{Map, Value};
use tablecast::core::LiveType;
use tablecast::core::ident::CORE_COLUMNS;
use tablecast::{Ident, Rules, Type, Uri};

/// Rows of cells as text; none is NULL.
type Cells = Vec<Vec<Option<String>>>;

/// Some rows of a table, as text, with the types that their columns have.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) columns: Vec<(String, Option<Type>)>,
    pub(crate) rows: Cells,
}

impl Rows {
    /// Reads at most `limit` rows; fails if the table is not there or the warehouse cannot be read back.
    pub(crate) async fn read(to: &str, rules: &Rules, table: &str, limit: usize) -> Result<Rows, Failure> {
        let (uri, schema) = (Uri::parse(to)?, rules.schema());
        let (names, rows) = read_table(&uri, &schema, table, limit)?;
        let catalog = tablecast::open(to, rules).await?.describe(&[Ident::from(table)]).await?;
        let columns = names.into_iter().map(|name| {
            let ty = catalog.column(table, &name).and_then(LiveType::known);
            (name, ty)
        });
        Ok(Rows { columns: columns.collect(), rows })
    }

    /// The columns that `keep` ranks, lowest first, equal ones in their order; those it does not rank are left out.
    pub(crate) fn arrange(&mut self, keep: impl Fn(&str) -> Option<usize>) {
        let mut order: Vec<(usize, usize)> =
            self.columns.iter().enumerate().filter_map(|(at, (name, _))| Some((keep(name)?, at))).collect();
        order.sort_unstable();
        self.columns = order.iter().map(|(_, at)| self.columns[*at].clone()).collect();
        for row in &mut self.rows {
            *row = order.iter().map(|(_, at)| row[*at].clone()).collect();
        }
    }

    /// As a table within a width.
    pub(crate) fn text(&self, width: usize) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        let rows: Vec<Vec<Option<&str>>> =
            self.rows.iter().map(|row| row.iter().map(Option::as_deref).collect()).collect();
        crate::output::data(&names, &rows, width)
    }

    /// As a list of objects; a NULL is null. Booleans, integers and floats are JSON's own; decimals stay text, which keeps their digits.
    pub(crate) fn json(&self) -> Value {
        let object = |row: &Vec<Option<String>>| {
            let cells =
                self.columns.iter().zip(row).map(|((name, ty), cell)| {
                    (name.clone(), cell.as_deref().map_or(Value::Null, |text| value(*ty, text)))
                });
            Value::Object(cells.collect::<Map<_, _>>())
        };
        Value::Array(self.rows.iter().map(object).collect())
    }
}

/// Whether Tablecast fills a column itself.
pub(crate) fn is_core(column: &str) -> bool {
    CORE_COLUMNS.contains(&column)
}

/// The order in which people want to see columns: who, then what is known of them, then the rest.
#[expect(clippy::unnecessary_wraps, reason = "the shape that `arrange` wants")]
pub(crate) fn rank(column: &str) -> Option<usize> {
    Some(match column {
        "user_id" => 0,
        _ if column.starts_with("context_") => 3,
        _ if is_core(column) => 2,
        _ => 1,
    })
}

fn value(ty: Option<Type>, text: &str) -> Value {
    let typed = match ty {
        Some(Type::Boolean) => text.parse().ok().map(Value::Bool),
        Some(Type::Int) => text.parse::<i64>().ok().map(Value::from),
        Some(Type::Float) => text.parse::<f64>().ok().map(Value::from),
        _ => None,
    };
    typed.unwrap_or_else(|| Value::from(text))
}

#[cfg(feature = "sqlite")]
fn read_table(uri: &Uri, schema: &Ident, table: &str, limit: usize) -> Result<(Vec<String>, Cells), Failure> {
    if uri.scheme() == "sqlite" {
        let directory = std::path::Path::new(uri.body().strip_prefix("//").unwrap_or(uri.body()));
        return Ok(tablecast::sqlite::read_table(directory, schema, table, limit)?);
    }
    no_reading(uri)
}

#[cfg(not(feature = "sqlite"))]
fn read_table(uri: &Uri, _: &Ident, _: &str, _: usize) -> Result<(Vec<String>, Cells), Failure> {
    no_reading(uri)
}

fn no_reading<T>(uri: &Uri) -> Result<T, Failure> {
    let what = format!("tables cannot be shown from this warehouse (scheme: {})", uri.scheme());
    Err(Failure::usage(what, "use the warehouse's own client, or a sqlite: warehouse"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_arranged_and_typed() {
        let columns =
            [("id", Type::Text), ("n", Type::Int), ("f", Type::Float), ("d", Type::Decimal), ("b", Type::Boolean)];
        let mut rows = Rows {
            columns: columns.map(|(name, ty)| (name.to_owned(), Some(ty))).to_vec(),
            rows: vec![
                ["7", "7", "450.0", "18446744073709551616", "true"].map(|cell| Some(cell.to_owned())).to_vec(),
                vec![None; 5],
            ],
        };
        rows.arrange(|name| match name {
            "id" => None,
            "b" => Some(0),
            _ => Some(1),
        });
        assert_eq!(
            rows.json().to_string(),
            r#"[{"b":true,"d":"18446744073709551616","f":450.0,"n":7},{"b":null,"d":null,"f":null,"n":null}]"#
        );
        assert!(rows.text(80).lines().nth(1).unwrap().contains("b    ┆ n"));
    }
}
