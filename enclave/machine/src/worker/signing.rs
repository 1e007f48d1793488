//! Answers on their way to be signed.
//!
//! One that comes alone is signed at once, alone. While as many tasks sign as may, those that come wait, and
//! the next task signs all of them together: the busier a boot is, the fewer signatures an answer costs it, and
//! nobody waits for a clock.

use crate::{
	limits::{ANSWER_TASKS_MAX, SIGNED_BYTES_MAX},
	task::{TaskId, ToAnswer, Work},
	turn::Turn,
};
use phala_protocol::limits::ANSWERS_SIGNED_MAX;
use std::collections::{BTreeSet, VecDeque};

/// See the module's text.
#[derive(Default)]
pub struct Signing {
	waiting: VecDeque<ToAnswer>,
	tasks: BTreeSet<TaskId>,
}

impl Signing {
	/// Has it signed: now, or with the next.
	pub fn sign<R>(&mut self, answer: ToAnswer, turn: &mut Turn<'_, R>) {
		self.waiting.push_back(answer);
		self.give(turn);
	}

	/// A task is over, whatever came of it.
	pub fn task_ended<R>(&mut self, task: TaskId, turn: &mut Turn<'_, R>) {
		self.tasks.remove(&task);
		self.give(turn);
	}

	/// A task failed on one of its answers: each is signed alone, so that the others do not share its end.
	pub fn task_failed<R>(&mut self, task: TaskId, answers: &[ToAnswer], turn: &mut Turn<'_, R>) {
		self.tasks.remove(&task);
		for answer in answers {
			self.tasks.insert(turn.compute(Work::Answer(vec![answer.clone()])));
		}
	}

	fn give<R>(&mut self, turn: &mut Turn<'_, R>) {
		while self.tasks.len() < ANSWER_TASKS_MAX && !self.waiting.is_empty() {
			let mut together = Vec::new();
			let mut bytes = 0usize;
			while together.len() < ANSWERS_SIGNED_MAX && bytes < SIGNED_BYTES_MAX {
				let Some(next) = self.waiting.pop_front() else { break };
				bytes = bytes.saturating_add(next.output.body.len());
				together.push(next);
			}
			self.tasks.insert(turn.compute(Work::Answer(together)));
		}
	}
}
