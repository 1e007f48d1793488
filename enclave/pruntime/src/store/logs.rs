//! What agents logged, for their owners: bounded in bytes, given in pages.

use crate::limits::{LOG_BYTES_MAX, LOG_LINE_BYTES, LOG_PAGE_BYTES_MAX};
use phala_protocol::{agents::AgentId, requests::LogEntry};
use std::collections::{BTreeSet, HashMap, VecDeque};

/// A part of a log, oldest line first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
	/// Number of its first line, counted from this boot's first. The page before it ends there.
	pub first: u64,
	/// Whether there are older lines.
	pub has_older: bool,
	pub entries: Vec<LogEntry>,
}

#[derive(Default)]
pub struct Logs(HashMap<AgentId, Log>);

#[derive(Default)]
struct Log {
	/// Number of the oldest line.
	first: u64,
	bytes: usize,
	lines: VecDeque<LogEntry>,
}

fn size(entry: &LogEntry) -> usize {
	entry.level.len() + entry.message.len() + LOG_LINE_BYTES
}

impl Logs {
	pub fn append(&mut self, agent: AgentId, entry: LogEntry) {
		let log = self.0.entry(agent).or_default();
		log.bytes += size(&entry);
		log.lines.push_back(entry);
		while log.bytes > LOG_BYTES_MAX {
			let Some(oldest) = log.lines.pop_front() else { return };
			log.bytes -= size(&oldest);
			log.first += 1;
		}
	}

	pub fn page(&self, agent: &AgentId, before: Option<u64>) -> LogPage {
		let Some(log) = self.0.get(agent) else { return LogPage::default() };
		let end = log.first + log.lines.len() as u64;
		let until = before.map_or(end, |before| before.clamp(log.first, end));
		let count = usize::try_from(until - log.first).unwrap_or(usize::MAX);
		let mut bytes = 0;
		let taken = log
			.lines
			.iter()
			.take(count)
			.rev()
			.take_while(|entry| {
				// One that is longer than a page has a page of its own.
				let is_first = bytes == 0;
				bytes += size(entry);
				is_first || bytes <= LOG_PAGE_BYTES_MAX
			})
			.count();
		let entries = log.lines.iter().take(count).skip(count - taken).cloned().collect();
		let first = until - taken as u64;
		LogPage { first, has_older: first > log.first, entries }
	}

	pub fn keep(&mut self, kept: &BTreeSet<AgentId>) {
		self.0.retain(|agent, _| kept.contains(agent));
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use phala_protocol::H256;

	const AGENT: AgentId = H256([1; 32]);

	fn line(n: u64, bytes: usize) -> LogEntry {
		let mut message = n.to_string().into_bytes();
		message.resize(bytes - LOG_LINE_BYTES, b' ');
		LogEntry { time_ms: 0, block: 0, request: H256::zero(), level: Vec::new(), message }
	}

	fn number(entry: &LogEntry) -> u64 {
		String::from_utf8_lossy(&entry.message).trim().parse().unwrap()
	}

	#[test]
	fn a_log_holds_so_many_bytes_and_the_oldest_lines_go_first() {
		const BYTES: usize = 1024;
		let mut logs = Logs::default();
		let fit = (LOG_BYTES_MAX / BYTES) as u64;
		for n in 0..fit {
			logs.append(AGENT, line(n, BYTES));
		}
		assert_eq!(logs.0[&AGENT].bytes, LOG_BYTES_MAX);
		assert_eq!(number(&logs.0[&AGENT].lines[0]), 0);
		logs.append(AGENT, line(fit, BYTES));
		assert_eq!(logs.0[&AGENT].bytes, LOG_BYTES_MAX);
		assert_eq!(number(&logs.0[&AGENT].lines[0]), 1, "one more, and the first is gone");
	}

	#[test]
	fn pages_lead_from_the_newest_line_to_the_oldest_without_a_gap() {
		const LINES: u64 = 100;
		let mut logs = Logs::default();
		for n in 0..LINES {
			logs.append(AGENT, line(n, LOG_PAGE_BYTES_MAX / 30));
		}
		let mut read: VecDeque<u64> = VecDeque::new();
		let mut before = None;
		loop {
			let page = logs.page(&AGENT, before);
			assert_eq!(page.entries.len() as u64, before.unwrap_or(LINES) - page.first);
			assert!(page.entries.iter().map(size).sum::<usize>() <= LOG_PAGE_BYTES_MAX);
			for entry in page.entries.iter().rev() {
				read.push_front(number(entry));
			}
			if !page.has_older {
				break;
			}
			before = Some(page.first);
		}
		assert_eq!(read.into_iter().collect::<Vec<_>>(), (0..LINES).collect::<Vec<_>>());
		assert_eq!(logs.page(&AGENT, Some(0)).entries, []);
		assert_eq!(logs.page(&H256::zero(), None), LogPage::default());
	}
}
