//! Where the values of a call go.

/// A row that a call's values go to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) table: usize,
    pub(super) at: u32,
    /// Whether traits and properties go there.
    pub(super) body: bool,
    /// Whether the context goes there.
    pub(super) context: bool,
}

/// At most two rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Targets {
    rows: [Target; 2],
    pub(super) len: usize,
}

impl Targets {
    pub(super) fn of(rows: [Option<Target>; 2], wanted: impl Fn(&Target) -> bool) -> Targets {
        let nowhere = Target { table: 0, at: 0, body: false, context: false };
        let mut targets = Targets { rows: [nowhere; 2], len: 0 };
        for row in rows.into_iter().flatten().filter(wanted) {
            targets.rows[targets.len] = row;
            targets.len += 1;
        }
        targets
    }

    pub(super) fn list(&self) -> &[Target] {
        &self.rows[..self.len]
    }

    pub(super) fn filter(&self, wanted: impl Fn(&Target) -> bool) -> Targets {
        Targets::of([self.list().first().copied(), self.list().get(1).copied()], wanted)
    }
}
