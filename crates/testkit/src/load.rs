//! The write loop, one step at a time, so that tests can put anything between two steps.

use std::collections::VecDeque;
use tablecast_core::{Change, Commit, Counts, Draft, Error, ErrorKind, Receipt, Result, Warehouse};

/// Rounds of describing and planning after which something is wrong with the plan or the warehouse.
const ROUNDS: usize = 32;

/// Loads a draft: describe, plan, apply, describe and plan again, commit each; again from the start on a stale plan.
pub async fn load(warehouse: &dyn Warehouse, draft: &Draft) -> Result<Vec<Receipt>> {
    let mut writer = Writer::new(warehouse, draft);
    while !writer.step().await? {}
    Ok(writer.receipts)
}

/// One table's counts over several receipts.
pub fn counts(receipts: &[Receipt], table: &str) -> Counts {
    let mut sum = Counts::default();
    for (_, counts) in receipts.iter().flat_map(|receipt| &receipt.tables).filter(|(name, _)| *name == table) {
        sum += *counts;
    }
    sum
}

/// Somebody who loads a draft and can be held up between any two steps.
#[derive(Debug)]
pub struct Writer<'a> {
    warehouse: &'a dyn Warehouse,
    draft: &'a Draft,
    todo: Todo,
    rounds: usize,
    receipts: Vec<Receipt>,
}

#[derive(Debug)]
enum Todo {
    Describe,
    Apply(Vec<Change>),
    Commit(VecDeque<Commit>),
}

impl<'a> Writer<'a> {
    /// A writer that has done nothing yet.
    pub fn new(warehouse: &'a dyn Warehouse, draft: &'a Draft) -> Self {
        Writer { warehouse, draft, todo: Todo::Describe, rounds: 0, receipts: Vec::new() }
    }

    /// What has been committed so far.
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// Does the next thing; true when nothing is left. After an error the same step comes again.
    pub async fn step(&mut self) -> Result<bool> {
        match &mut self.todo {
            Todo::Describe => {
                self.rounds += 1;
                if self.rounds > ROUNDS {
                    return Err(Error::new(ErrorKind::Internal, "plan and tables do not settle").with("rounds", ROUNDS));
                }
                let live = self.warehouse.describe(&self.draft.tables()).await?;
                let plan = self.draft.plan(&live);
                self.todo =
                    if plan.changes.is_empty() { Todo::Commit(plan.commits.into()) } else { Todo::Apply(plan.changes) };
            }
            Todo::Apply(changes) => {
                match self.warehouse.apply(changes).await {
                    Err(error) if error.kind() != ErrorKind::SchemaMismatch => return Err(error),
                    _ => {}
                }
                self.todo = Todo::Describe;
            }
            Todo::Commit(commits) => {
                let Some(commit) = commits.front() else { return Ok(true) };
                match self.warehouse.commit(commit).await {
                    Ok(receipt) => {
                        self.receipts.push(receipt);
                        commits.pop_front();
                    }
                    Err(error) if error.kind() == ErrorKind::SchemaMismatch => self.todo = Todo::Describe,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(matches!(&self.todo, Todo::Commit(commits) if commits.is_empty()))
    }
}
