//! The values of a call: each goes to the column that its path names, in all rows of the call.

use super::Draft;
use super::targets::{Target, Targets};
use crate::cell::Cell;
use crate::column::{COLUMN_BYTES, ColumnDraft, DISCARD_BYTES, VALUE_BYTES};
use crate::discard::{Discard, Reason};
use crate::envelope::{Envelope, Kind};
use crate::event::{Call, Container, Field, Token};
use crate::hash::hash64;
use crate::ident::{Ident, Section};
use crate::names::{Name, Names, Place};
use crate::origin::Origin;
use crate::plan::Fold;
use crate::rules::{Rules, Timestamps};
use crate::schema::TableKind;
use crate::time;
use std::borrow::Cow;

struct Walk<'c> {
    call: &'c Call,
    envelope: &'c Envelope<'c>,
    targets: Targets,
    /// Values count only where the call has none.
    weak: bool,
}

impl Draft {
    /// Fields of the envelope that could not be used.
    pub(super) fn strays(&mut self, call: &Call, envelope: &Envelope, table: usize) {
        if call.strays.is_empty() && envelope.unusable.is_empty() {
            return;
        }
        let table = self.tables[table].name.clone();
        let text = &call.tape.text;
        for (n, stray) in call.strays.iter().enumerate() {
            let value = stray.value.of(text).as_bytes();
            let key = stray.key.of(text);
            let column: String = key.chars().take(300).collect();
            let discard =
                Discard::new(&envelope.id, table.as_str(), &column, value, stray.reason, envelope.received_at);
            self.keep(discard.at(format!("{key}#{n}")));
        }
        for &(field, reason) in &envelope.unusable {
            let value = match call.field(field) {
                Some(Token::Bool(bool)) => Cow::from(if bool { "true" } else { "false" }),
                Some(Token::Number(span) | Token::Json(span) | Token::Text(span)) => Cow::from(span.of(text)),
                _ => continue,
            };
            self.keep(Discard::new(
                &envelope.id,
                table.as_str(),
                field.key(),
                value.as_bytes(),
                reason,
                envelope.received_at,
            ));
        }
    }

    /// What a batch's envelope has and no call takes from it.
    pub(super) fn envelope_strays(&mut self, origin: &mut Origin, line: &[u8], outer: &Call) {
        let text = &outer.tape.text;
        let mut found: Vec<(String, &[u8], Reason)> = Vec::new();
        for stray in &outer.strays {
            found.push((stray.key.of(text).chars().take(300).collect(), stray.value.of(text).as_bytes(), stray.reason));
        }
        for field in Field::ALL.into_iter().filter(|field| *field != Field::MessageId) {
            let Some(Token::Text(span) | Token::Number(span) | Token::Json(span)) = outer.field(field) else {
                continue;
            };
            let usable = field == Field::SentAt && time::parse(span.of(text), Timestamps::Iso8601).is_some();
            let reason = if field == Field::SentAt { Reason::TimestampNotIso8601 } else { Reason::UnknownField };
            if !usable {
                found.push((field.key().to_owned(), span.of(text).as_bytes(), reason));
            }
        }
        // Traits and properties of an envelope belong to no call; the line has them.
        let bodies =
            outer.members.iter().filter(|part| matches!(part.container, Container::Traits | Container::Properties));
        found.extend(bodies.take(1).map(|_| ("traits".to_owned(), line, Reason::UnknownField)));
        if found.is_empty() {
            return;
        }
        let (event_id, received_at) = (format!("{:032x}", origin.id_for(line)), origin.next_call());
        for (nth, (column, value, reason)) in found.into_iter().enumerate() {
            let path = format!("{column}#{nth}");
            self.keep(Discard::new(&event_id, "", &column, value, reason, received_at).at(path));
        }
    }

    /// The values of a call's containers; those of a batch's envelope (`weak`) only where the call has none.
    pub(super) fn values(&mut self, call: &Call, kind: Kind, envelope: &Envelope, targets: Targets, weak: bool) {
        let body = if matches!(kind, Kind::Page | Kind::Screen) { Section::ViewBody } else { Section::Body };
        // Of traits and properties the call's own one comes last, so that it wins.
        let own = if matches!(kind, Kind::Track | Kind::Page | Kind::Screen) {
            Container::Properties
        } else {
            Container::Traits
        };
        let other = if own == Container::Properties { Container::Traits } else { Container::Properties };
        let (context, others) = (targets.filter(|target| target.context), targets.filter(|target| target.body));
        self.shared.clear();
        let mut walk_all = |container: Container, section: Section, targets: Targets| {
            for part in call.members.iter().filter(|part| part.container == container) {
                let walk = Walk { call, envelope, targets, weak };
                self.walk(&walk, part.start as usize, part.end as usize, Names::root(section));
            }
        };
        if context.len > 0 {
            walk_all(Container::Context, Section::Context, context);
        }
        if others.len > 0 && !weak {
            walk_all(other, body, others);
            walk_all(own, body, others);
        }
    }

    fn walk(&mut self, walk: &Walk, start: usize, end: usize, parent: Place) {
        let tape = &walk.call.tape;
        let mut before = None;
        let mut at = start;
        while at < end {
            let node = tape.nodes[at];
            let place = self.names.child(parent, before, node.key.of(&tape.text));
            before = Some(place);
            at += 1;
            if let Token::Object(inner) = node.token {
                if !self.is_off(walk, place, at, inner as usize) {
                    self.walk(walk, at, inner as usize, place);
                }
                at = inner as usize;
                continue;
            }
            match Cell::read(node.token, &tape.text, self.rules.timestamps, self.rules.arrays) {
                Ok(cell) => self.put(walk, place, cell),
                Err(_) => {
                    let Token::Number(number) = node.token else { continue };
                    let name = self.names.name(place);
                    for target in walk.targets.list() {
                        if self.is_left_out(target.table, name) {
                            self.tables[target.table].filtered_values += 1;
                        } else {
                            self.lose(walk, *target, name, place, number.of(&tape.text), Reason::NumberOverflow);
                        }
                    }
                }
            }
        }
    }

    /// Whether an object is the value of an audience or trait that is off: then all that it is made of is.
    ///
    /// Its columns do not go off by their names, which other traits may have too.
    fn is_off(&mut self, walk: &Walk, object: Place, start: usize, end: usize) -> bool {
        if self.computation_columns.is_empty() {
            return false;
        }
        let name = self.names.name(object);
        if !self.computation_columns.contains(self.names.ident(name)) {
            return false;
        }
        let inner = &walk.call.tape.nodes[start..end];
        let values = inner.iter().filter(|node| !matches!(node.token, Token::Object(_))).count() as u64;
        for target in walk.targets.list() {
            self.tables[target.table].filtered_values += values;
        }
        true
    }

    /// Whether a column, which may not be there yet, takes no values.
    fn is_left_out(&mut self, table: usize, name: Name) -> bool {
        if let Some(column) = self.tables[table].column(name) {
            return column.off;
        }
        self.fresh_column(table, name).off
    }

    fn fresh_column(&self, table: usize, name: Name) -> ColumnDraft {
        let (table, ident) = (&self.tables[table], self.names.ident(name));
        let off = column_is_off(ident, &table.name, &self.rules)
            || self.computation_columns.contains(ident)
            || self.only.as_ref().is_some_and(|only| !only.has_column(table.name.as_str(), ident.as_str()));
        let fold = if table.kind == TableKind::Merge { Fold::Latest } else { Fold::Once };
        ColumnDraft::new(ident.clone(), None, fold, off)
    }

    #[inline]
    fn put(&mut self, walk: &Walk, place: Place, cell: Cell) {
        let name = self.names.name(place);
        let source = &walk.call.tape.text;
        for target in walk.targets.list() {
            let table = &mut self.tables[target.table];
            let Some(column) = table.column(name) else {
                let mut column = self.fresh_column(target.table, name);
                let table = &mut self.tables[target.table];
                column.beyond = table.columns.len() >= self.dialect.max_columns;
                column.push_from(target.at, cell, source);
                self.held += if column.beyond { DISCARD_BYTES } else { 0 };
                table.filtered_values += u64::from(column.off);
                table.add_column(name, column);
                if walk.weak {
                    self.shared.push((target.table, name));
                }
                self.held += COLUMN_BYTES + VALUE_BYTES + cell.bytes();
                continue;
            };
            if column.off {
                table.filtered_values += 1;
                continue;
            }
            if column.last() == Some(target.at) {
                // What a call has of its own is not met by what it shares.
                if !walk.weak || self.shared.contains(&(target.table, name)) {
                    self.meet(walk, *target, name, place, cell);
                }
                continue;
            }
            column.push_from(target.at, cell, source);
            if walk.weak {
                self.shared.push((target.table, name));
            }
            self.held += VALUE_BYTES + cell.bytes() + if column.beyond { DISCARD_BYTES } else { 0 };
        }
    }

    /// Two keys of one event meet in a column: a value wins over null, then the later one.
    #[cold]
    fn meet(&mut self, walk: &Walk, target: Target, name: Name, place: Place, cell: Cell) {
        let Some(column) = self.tables[target.table].column(name) else { return };
        if cell == Cell::Null {
            return;
        }
        let Some(loser) = column.pop() else { return };
        let lost = loser.canonical(column.values.text()).into_owned();
        column.push_from(target.at, cell, &walk.call.tape.text);
        if loser != Cell::Null && lost != cell.canonical(&walk.call.tape.text) {
            self.lose(walk, target, name, place, &lost, Reason::ColumnCollision);
        }
    }

    /// Keeps a value that its column does not take; the path tells several values of one column apart.
    fn lose(&mut self, walk: &Walk, target: Target, name: Name, place: Place, value: &str, reason: Reason) {
        let path = format!("{}#{}", self.names.path_text(place), hash64(value.as_bytes()));
        let (table, column) = (self.tables[target.table].name.as_str(), self.names.ident(name).as_str());
        let Envelope { id, received_at, .. } = walk.envelope;
        let discard = Discard::new(id, table, column, value.as_bytes(), reason, *received_at);
        self.keep(discard.at(path));
    }
}

pub(super) fn column_is_off(column: &Ident, table: &Ident, rules: &Rules) -> bool {
    let off = &rules.off.columns;
    !off.is_empty() && (off.contains(&format!("*.{column}")) || off.contains(&format!("{table}.{column}")))
}
