//! A reader over tokens that writes what it accepts.

use super::names::cut;
use super::token::Token;
use super::words::{SYSTEM_COLUMNS, is_reserved};
use super::{Names, Refusal, quote, text};

/// Reads tokens one by one; what was accepted is in `out`, in PostgreSQL's words.
pub(super) struct Cursor<'a> {
    tokens: &'a [Token],
    at: usize,
    out: String,
    pub(super) names: &'a Names,
    /// Something was read that only the leader node has.
    pub(super) leader: Option<String>,
    /// A table of the user was read.
    pub(super) user_table: bool,
    /// Names that WITH gave.
    pub(super) with: Vec<String>,
    /// How many subqueries in FROM this stands in.
    pub(super) derived: usize,
}

type Result<T = ()> = std::result::Result<T, Refusal>;

impl<'a> Cursor<'a> {
    pub(super) fn new(tokens: &'a [Token], names: &'a Names) -> Self {
        Self { tokens, at: 0, out: String::new(), names, leader: None, user_table: false, with: Vec::new(), derived: 0 }
    }

    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<&'a Token> {
        self.tokens.get(self.at + ahead)
    }

    pub(super) fn next(&mut self) -> Option<&'a Token> {
        let token = self.tokens.get(self.at);
        self.at += 1;
        token
    }

    pub(super) fn back(&mut self) {
        self.at -= 1;
    }

    /// Whether the next tokens are these bare words.
    pub(super) fn sees(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| matches!(self.peek_at(ahead), Some(Token::Word(w)) if w == word))
    }

    /// Takes these words without writing them.
    pub(super) fn skip(&mut self, words: &[&str]) -> bool {
        let sees = self.sees(words);
        if sees {
            self.at += words.len();
        }
        sees
    }

    /// Takes these words and writes them.
    pub(super) fn word(&mut self, words: &[&str]) -> bool {
        let sees = self.skip(words);
        if sees {
            for word in words {
                self.put(&word.to_uppercase());
            }
        }
        sees
    }

    pub(super) fn expect(&mut self, word: &str) -> Result {
        if self.word(&[word]) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn sees_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(s)) if *s == sign)
    }

    /// Takes a sign without writing it.
    pub(super) fn skip_sign(&mut self, sign: &str) -> bool {
        let sees = self.sees_sign(sign);
        self.at += usize::from(sees);
        sees
    }

    /// Takes a sign and writes it.
    pub(super) fn sign(&mut self, sign: &str) -> bool {
        let sees = self.skip_sign(sign);
        if sees {
            self.put(sign);
        }
        sees
    }

    pub(super) fn expect_sign(&mut self, sign: &str) -> Result {
        if self.sign(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn next_word(&mut self) -> Result<String> {
        match self.next() {
            Some(Token::Word(word)) => Ok(word.clone()),
            _ => Err(self.unexpected_before()),
        }
    }

    pub(super) fn next_text(&mut self) -> Result<String> {
        match self.next() {
            Some(Token::Text(text)) => Ok(text.clone()),
            _ => Err(self.unexpected_before()),
        }
    }

    pub(super) fn next_number(&mut self) -> Result<u64> {
        match self.next() {
            Some(Token::Number(number)) => {
                number.parse().map_err(|_| Refusal::syntax(format!("syntax error at or near \"{number}\"")))
            }
            _ => Err(self.unexpected_before()),
        }
    }

    /// Writes a piece, with a space in front.
    pub(super) fn put(&mut self, piece: &str) {
        if !self.out.is_empty() {
            self.out.push(' ');
        }
        self.out.push_str(piece);
    }

    /// Writes a piece right behind what is there.
    pub(super) fn join(&mut self, piece: &str) {
        self.out.push_str(piece);
    }

    pub(super) fn put_text(&mut self, value: &str) {
        self.put(&text(value));
    }

    /// Throws away what was written so far.
    pub(super) fn restart(&mut self, piece: &str) {
        piece.clone_into(&mut self.out);
    }

    /// Takes a name; a bare reserved word is none.
    pub(super) fn name(&mut self) -> Result<String> {
        match self.next() {
            Some(Token::Word(word)) if !is_reserved(word) => Ok(cut(word)),
            Some(Token::Quoted(name)) => Ok(cut(name)),
            _ => Err(self.unexpected_before()),
        }
    }

    /// Takes a name and writes it.
    pub(super) fn put_name(&mut self) -> Result<String> {
        let name = self.name()?;
        self.put(&quote(&self.names.short(&name)));
        Ok(name)
    }

    /// Takes the name of a new column and writes it.
    pub(super) fn put_new_column(&mut self) -> Result<String> {
        let name = self.put_name()?;
        if SYSTEM_COLUMNS.contains(&name.as_str()) {
            return Err(Refusal::new("42701", format!("column name \"{name}\" conflicts with a system column name")));
        }
        Ok(name)
    }

    /// Takes `[schema.]table` of the user and writes it.
    pub(super) fn put_table(&mut self) -> Result<Vec<String>> {
        let mut path = vec![self.name()?];
        if self.skip_sign(".") {
            path.push(self.name()?);
        }
        if let [schema, _] = path.as_slice()
            && super::words::is_system_schema(schema)
        {
            return Err(Refusal::new("42501", format!("permission denied for schema {schema}")));
        }
        self.user_table = true;
        let sql = self.path_sql(&path);
        self.put(&sql);
        Ok(path)
    }

    pub(super) fn path_sql(&self, path: &[String]) -> String {
        path.iter().map(|name| quote(&self.names.short(name))).collect::<Vec<_>>().join(".")
    }

    /// Takes `item, item, …`.
    pub(super) fn list(&mut self, item: impl Fn(&mut Self) -> Result) -> Result {
        item(self)?;
        while self.sign(",") {
            item(self)?;
        }
        Ok(())
    }

    /// Takes `(name, name, …)` and writes it.
    pub(super) fn column_list(&mut self) -> Result {
        self.expect_sign("(")?;
        self.list(|at| at.put_name().map(drop))?;
        self.expect_sign(")")
    }

    /// That the next token does not fit, in PostgreSQL's and Redshift's words.
    pub(super) fn unexpected(&self) -> Refusal {
        let token = match self.peek() {
            None => return Refusal::syntax("syntax error at end of input"),
            Some(Token::Word(word) | Token::Quoted(word)) => word.as_str(),
            Some(Token::Text(_)) => "'…'",
            Some(Token::Number(number)) => number.as_str(),
            Some(Token::Parameter(number)) => number.as_str(),
            Some(Token::Sign(sign)) => sign,
        };
        Refusal::syntax(format!("syntax error at or near \"{token}\""))
    }

    fn unexpected_before(&mut self) -> Refusal {
        self.back();
        self.unexpected()
    }

    /// That nothing is left.
    pub(super) fn end(&self) -> Result {
        match self.peek() {
            None => Ok(()),
            Some(Token::Sign(";")) => Err(Refusal::syntax(
                "rsemu: several statements in one text are one implicit transaction on Redshift: send them one by one",
            )),
            Some(_) => Err(self.unexpected()),
        }
    }

    /// What PostgreSQL is to run.
    pub(super) fn finish(self) -> Result<String> {
        if self.user_table && self.leader.is_some() {
            // "SQL functions supported on the leader node": "if your query references leader-node functions and
            // user-defined tables … Amazon Redshift returns an error".
            return Err(Refusal::new(
                "0A000",
                "Specified types or functions (one per INFO message) not supported on Redshift tables.",
            ));
        }
        Ok(self.out)
    }
}
