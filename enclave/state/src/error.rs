//! The crate's one error: what was refused, why, and what would be accepted.

use crate::{
	limits::{DEPTH_MAX, UNDECIDED_STEPS_MAX},
	page::PageName,
};
use phala_protocol::{agents::StateVersion, H256};

/// Pages that are not at hand. Whoever gets this fetches them, from disk and members alike, and asks
/// again; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub Vec<PageName>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
	#[error("{} pages of state are not at hand yet; when they are, the same can be asked again", .0.0.len())]
	Missing(Missing),
	#[error("state refused: its layout is {layout}, this release knows {known:?}")]
	UnknownLayout { layout: u16, known: Vec<u16> },
	#[error("key of an entry refused: {bytes} bytes, at most {bytes_max} are accepted")]
	KeyTooLong { bytes: usize, bytes_max: usize },
	#[error("value of an entry refused: {bytes} bytes, at most {bytes_max} are accepted")]
	ValueTooLong { bytes: usize, bytes_max: usize },
	#[error("writes refused: they are for version {version} of a state that has version {base}")]
	VersionFalls { version: StateVersion, base: StateVersion },
	#[error("layout refused: the state has {base}, which {layout} is not newer than")]
	LayoutFalls { layout: u16, base: u16 },
	#[error("page {page:?} is what its name says, but {why}: whoever wrote it wrote no tree")]
	NotATree { page: PageName, why: &'static str },
	#[error("root refused: {why}")]
	BadRoot { why: &'static str },
	#[error("writes refused: the tree would be deeper than {DEPTH_MAX} levels")]
	TooDeep,
	#[error("comparison refused: more than {pages_max} pages differ on one level")]
	TooDifferent { pages_max: usize },
	#[error(
		"pages refused: {bytes} bytes that are not stored yet, at most {bytes_max} are kept in memory"
	)]
	TooMuchUnsaved { bytes: usize, bytes_max: usize },
	#[error("step refused: {UNDECIDED_STEPS_MAX} of this agent are undecided already")]
	TooManyUndecided,
	#[error(
		"root {root:?} refused: it is neither final here nor one that was made of a final one"
	)]
	UnknownRoot { root: H256 },
	#[error("steps refused: the second does not start where the first ends")]
	NotInARow,
}

impl StateError {
	/// What to fetch before asking again; none if that would not help.
	pub fn missing(&self) -> Option<&[PageName]> {
		match self {
			Self::Missing(Missing(pages)) => Some(pages),
			_ => None,
		}
	}
}
