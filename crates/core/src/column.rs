//! A column as the events fill it: where its values stand, and the values, in the narrowest form that holds them.
//!
//! Most columns see one type only, and those that Tablecast fills have a value in every row. Both are kept
//! without a tag or a row number each, because a draft is bound by the memory that it writes.

use crate::cell::Cell;
use crate::event::Span;
use crate::ident::Ident;
use crate::plan::Fold;
use crate::types::Type;

/// Bytes that a value takes besides its text, for the estimate of memory.
pub(crate) const VALUE_BYTES: usize = 12;

/// Bytes that a column takes before it has values.
pub(crate) const COLUMN_BYTES: usize = size_of::<ColumnDraft>() + size_of::<About>();

/// Bytes that a discard takes, in the plan and in its batch.
pub(crate) const DISCARD_BYTES: usize = 1_000;

const USER_TYPES: [Type; 7] =
    [Type::Boolean, Type::Int, Type::Decimal, Type::Float, Type::Timestamp, Type::Text, Type::Json];

/// A column as the events fill it.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct ColumnDraft {
    pub(crate) places: Places,
    pub(crate) values: Values,
    pub(crate) about: Box<About>,
    /// The types that values asked for, one bit each.
    offered: u8,
    /// Whether a value was taken back since, so that `offered` may say too much.
    recount: bool,
    /// Switched off: values are counted and dropped.
    pub(crate) off: bool,
    /// Beyond what the table can have: each value will be a discard.
    pub(crate) beyond: bool,
}

/// What a column is.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) name: Ident,
    /// The type of a column that Tablecast fills itself.
    pub(crate) core: Option<Type>,
    pub(crate) fold: Fold,
}

/// Where values go: the row of an append table, the [`Touch`](crate::table::Touch) of a merge table. Ascending.
#[derive(Debug)]
pub(crate) enum Places {
    /// One after the other from 0.
    Dense(u32),
    Sparse(Vec<u32>),
}

impl Places {
    pub(crate) fn len(&self) -> usize {
        match self {
            Places::Dense(len) => *len as usize,
            Places::Sparse(places) => places.len(),
        }
    }

    #[inline]
    pub(crate) fn get(&self, nth: usize) -> u32 {
        match self {
            Places::Dense(_) => u32::try_from(nth).unwrap_or(u32::MAX),
            Places::Sparse(places) => places[nth],
        }
    }

    #[inline]
    fn last(&self) -> Option<u32> {
        match self {
            Places::Dense(len) => len.checked_sub(1),
            Places::Sparse(places) => places.last().copied(),
        }
    }

    #[inline]
    fn push(&mut self, at: u32) {
        match self {
            Places::Dense(len) if *len == at => *len += 1,
            Places::Dense(len) => {
                let mut places: Vec<u32> = (0..*len).collect();
                places.push(at);
                *self = Places::Sparse(places);
            }
            Places::Sparse(places) => places.push(at),
        }
    }

    fn pop(&mut self) {
        match self {
            Places::Dense(len) => *len = len.saturating_sub(1),
            Places::Sparse(places) => drop(places.pop()),
        }
    }

    fn clear(&mut self) {
        match self {
            Places::Dense(len) => *len = 0,
            Places::Sparse(places) => places.clear(),
        }
    }
}

/// The values: of one type, or as they came.
#[derive(Debug)]
pub(crate) enum Values {
    Bools(Vec<bool>),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Times(Vec<i64>),
    /// Where each text ends in all of it.
    Texts(Vec<u32>, String),
    Mixed(Vec<Cell>, String),
}

impl Values {
    /// What a first value asks for.
    fn of(cell: Cell) -> Values {
        match cell {
            Cell::Bool(_) => Values::Bools(Vec::new()),
            Cell::Int(_) => Values::Ints(Vec::new()),
            Cell::Float(_) => Values::Floats(Vec::new()),
            Cell::Time(_) => Values::Times(Vec::new()),
            Cell::Text(_) => Values::Texts(Vec::new(), String::new()),
            Cell::Null | Cell::Big(_) | Cell::FineTime(_) | Cell::Json(_) => Values::Mixed(Vec::new(), String::new()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Values::Bools(values) => values.len(),
            Values::Ints(values) | Values::Times(values) => values.len(),
            Values::Floats(values) => values.len(),
            Values::Texts(ends, _) => ends.len(),
            Values::Mixed(cells, _) => cells.len(),
        }
    }

    #[inline]
    fn push(&mut self, cell: Cell, from: &str) {
        match (&mut *self, cell) {
            (Values::Texts(ends, text), Cell::Text(span)) => {
                text.push_str(span.of(from));
                ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
            }
            (Values::Times(values), Cell::Time(micros)) => values.push(micros),
            (Values::Bools(values), Cell::Bool(bool)) => values.push(bool),
            (Values::Ints(values), Cell::Int(int)) => values.push(int),
            (Values::Floats(values), Cell::Float(float)) => values.push(float),
            (Values::Mixed(cells, text), cell) => {
                let cell = cell.moved(from, text);
                cells.push(cell);
            }
            _ => {
                *self = if self.len() == 0 { Values::of(cell) } else { self.mixed() };
                self.push(cell, from);
            }
        }
    }

    /// The nth value; its text is in [`Values::text`].
    #[inline]
    pub(crate) fn get(&self, nth: usize) -> Cell {
        match self {
            Values::Bools(values) => Cell::Bool(values[nth]),
            Values::Ints(values) => Cell::Int(values[nth]),
            Values::Floats(values) => Cell::Float(values[nth]),
            Values::Times(values) => Cell::Time(values[nth]),
            Values::Texts(ends, _) => Cell::Text(Span::between(if nth == 0 { 0 } else { ends[nth - 1] }, ends[nth])),
            Values::Mixed(cells, _) => cells[nth],
        }
    }

    /// What the spans of the values are of.
    #[inline]
    pub(crate) fn text(&self) -> &str {
        match self {
            Values::Texts(_, text) | Values::Mixed(_, text) => text,
            Values::Bools(_) | Values::Ints(_) | Values::Floats(_) | Values::Times(_) => "",
        }
    }

    fn mixed(&mut self) -> Values {
        let cells = (0..self.len()).map(|nth| self.get(nth)).collect();
        let text = match self {
            Values::Texts(_, text) | Values::Mixed(_, text) => std::mem::take(text),
            Values::Bools(_) | Values::Ints(_) | Values::Floats(_) | Values::Times(_) => String::new(),
        };
        Values::Mixed(cells, text)
    }

    /// Takes the last value back; its text stays until the next clearing.
    fn pop(&mut self) -> Option<Cell> {
        if !matches!(self, Values::Mixed(..)) {
            *self = self.mixed();
        }
        match self {
            Values::Mixed(cells, _) => cells.pop(),
            _ => None,
        }
    }

    fn clear(&mut self) {
        match self {
            Values::Bools(values) => values.clear(),
            Values::Ints(values) | Values::Times(values) => values.clear(),
            Values::Floats(values) => values.clear(),
            Values::Texts(ends, text) => {
                ends.clear();
                text.clear();
            }
            // The next cut may be of one type again.
            Values::Mixed(..) => *self = Values::Bools(Vec::new()),
        }
    }
}

impl ColumnDraft {
    pub(crate) fn new(name: Ident, core: Option<Type>, fold: Fold, off: bool) -> Self {
        let about = Box::new(About { name, core, fold });
        let (places, values) = (Places::Dense(0), Values::Bools(Vec::new()));
        ColumnDraft { places, values, about, offered: 0, recount: false, off, beyond: false }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The place of the last value.
    #[inline]
    pub(crate) fn last(&self) -> Option<u32> {
        self.places.last()
    }

    /// All values with their places, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u32, Cell)> {
        (0..self.len()).map(|nth| (self.places.get(nth), self.values.get(nth)))
    }

    /// Appends a value that has no text.
    #[inline]
    pub(crate) fn push(&mut self, at: u32, cell: Cell) {
        self.push_from(at, cell, "");
    }

    /// Appends a value whose text is in `from`.
    #[inline]
    pub(crate) fn push_from(&mut self, at: u32, cell: Cell, from: &str) {
        if !self.off {
            self.offered |= bit(cell);
            self.places.push(at);
            self.values.push(cell, from);
        }
    }

    /// Appends text.
    #[inline]
    pub(crate) fn push_text(&mut self, at: u32, text: &str) {
        self.push_from(at, Cell::Text(Span::since(0, text)), text);
    }

    /// Takes the last value back; its text is still in [`Values::text`].
    pub(crate) fn pop(&mut self) -> Option<Cell> {
        self.recount = true;
        self.places.pop();
        self.values.pop()
    }

    /// The types that values ask for.
    pub(crate) fn offered(&self) -> impl Iterator<Item = Type> {
        let offered = self.mask();
        USER_TYPES.into_iter().filter(move |ty| offered & (1 << *ty as u8) != 0)
    }

    /// Whether there is any value.
    pub(crate) fn has_values(&self) -> bool {
        self.mask() != 0
    }

    fn mask(&self) -> u8 {
        if self.recount { self.entries().fold(0, |mask, (_, cell)| mask | bit(cell)) } else { self.offered }
    }

    /// Bits that a value takes in a batch, about.
    pub(crate) fn dense_bits(&self) -> usize {
        match self.values {
            _ if self.len() == 0 => 0,
            Values::Bools(_) => 2,
            Values::Texts(..) => 33,
            Values::Ints(_) | Values::Floats(_) | Values::Times(_) | Values::Mixed(..) => 65,
        }
    }

    /// Forgets the values. Memory stays for a column that had some, and goes from one that had none.
    pub(crate) fn clear(&mut self) {
        if self.len() == 0 {
            (self.places, self.values) = (Places::Dense(0), Values::Bools(Vec::new()));
        }
        self.places.clear();
        self.values.clear();
        (self.offered, self.recount) = (0, false);
    }
}

#[inline]
fn bit(cell: Cell) -> u8 {
    cell.natural_type().map_or(0, |ty| 1 << ty as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_went_in_whatever_the_form() {
        let mut column = ColumnDraft::new("x".into(), None, Fold::Once, false);
        let shown = |column: &ColumnDraft| -> Vec<(u32, String)> {
            let text = column.values.text();
            column.entries().map(|(at, cell)| (at, cell.canonical(text).into_owned())).collect()
        };
        column.push_text(0, "a");
        column.push_text(1, "bc");
        assert!(matches!((&column.places, &column.values), (Places::Dense(2), Values::Texts(..))));
        column.push_text(7, "");
        column.push(9, Cell::Int(5));
        column.push(10, Cell::Null);
        let all = [(0, "a"), (1, "bc"), (7, ""), (9, "5"), (10, "null")].map(|(at, text)| (at, text.to_owned()));
        assert_eq!(shown(&column), all);
        assert_eq!(column.offered().collect::<Vec<_>>(), [Type::Int, Type::Text]);

        assert_eq!(column.pop(), Some(Cell::Null));
        assert_eq!(column.pop(), Some(Cell::Int(5)));
        assert_eq!(column.last(), Some(7));
        assert_eq!(column.offered().collect::<Vec<_>>(), [Type::Text], "what was taken back asks for nothing");

        column.clear();
        column.push(0, Cell::Time(3));
        assert_eq!(column.offered().collect::<Vec<_>>(), [Type::Timestamp]);
        assert!(matches!(column.values, Values::Times(_)));
    }
}
