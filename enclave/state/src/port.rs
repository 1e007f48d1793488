//! Where sealed pages are kept: a service of the host, in a process without keys.

use crate::page::PageName;
use phala_protocol::agents::AgentId;

/// A place for pages of many agents. The caller is an enclave and trusts it with nothing: what it gives
/// is opened and checked ([`PageKeys::open`](crate::PageKeys::open)), and what it has lost or changed is
/// fetched from somewhere else. Whoever carries this out parses files that its host can write, so it
/// does so outside the process that has keys.
pub trait Pages {
	/// Why the store itself does not answer.
	type Error: std::error::Error;

	/// What is stored under each name, in their order.
	fn get(&self, agent: &AgentId, names: &[PageName])
		-> Result<Vec<Option<Vec<u8>>>, Self::Error>;

	/// Which of them are stored.
	fn has(&self, agent: &AgentId, names: &[PageName]) -> Result<Vec<bool>, Self::Error>;

	/// Stores all. They are durable when it returns, before that any part of them may be; one that was
	/// stored before is replaced.
	fn put(&mut self, agent: &AgentId, pages: &[(PageName, Vec<u8>)]) -> Result<(), Self::Error>;

	/// Deletes all; what is not there is no error.
	fn delete(&mut self, agent: &AgentId, names: &[PageName]) -> Result<(), Self::Error>;

	/// At most so many of the names that are stored, in ascending order, after one: to find what a
	/// crash has left that no root has.
	fn names(
		&self,
		agent: &AgentId,
		after: Option<PageName>,
		names_max: usize,
	) -> Result<Vec<PageName>, Self::Error>;
}
