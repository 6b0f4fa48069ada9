//! What is wrong with a configuration: all of it, and what to do about each.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: a section and a key.
    pub place: String,
    /// What is wrong there.
    pub what: String,
    /// What to do.
    pub to_do: String,
}

impl Problem {
    /// A problem at a place.
    pub fn new(place: impl fmt::Display, what: impl Into<String>, to_do: impl Into<String>) -> Self {
        Problem { place: place.to_string(), what: what.into(), to_do: to_do.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Everything that is wrong, at least one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// A single one.
    pub fn one(problem: Problem) -> Self {
        Problems(vec![problem])
    }

    pub(super) fn add(&mut self, place: impl fmt::Display, what: impl Into<String>, to_do: impl Into<String>) {
        self.0.push(Problem::new(place, what, to_do));
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem} ({})", if at == 0 { "" } else { "; " }, problem.to_do)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
