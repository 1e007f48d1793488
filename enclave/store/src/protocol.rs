//! What client and process say to each other, in frames: length of what follows as four bytes, the
//! request's number as eight, both little-endian, then SCALE. The process speaks first, with number 0;
//! answers come in any order.

use crate::limits::{
	AGENTS_PER_FRAME_MAX, FRAME_BYTES_MAX, NAMES_PER_FRAME_MAX, PAGES_PER_FRAME_MAX,
	PAGE_BYTES_MAX, REFUSAL_BYTES_MAX,
};
use codec::{Compact, Decode, DecodeAll, Encode};
use phala_protocol::{agents::AgentId, H256};
use std::io::{self, Read, Write};

/// Client and process are of one release, or they part.
pub const PROTOCOL_VERSION: u16 = 2;

/// The number of the process's first frame.
pub const HELLO_ID: u64 = 0;

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Request {
	#[codec(index = 0)]
	Get { agent: AgentId, names: Vec<H256> },
	#[codec(index = 1)]
	Has { agent: AgentId, names: Vec<H256> },
	#[codec(index = 2)]
	Put { agent: AgentId, pages: Vec<(H256, Vec<u8>)> },
	#[codec(index = 3)]
	Delete { agent: AgentId, names: Vec<H256> },
	#[codec(index = 4)]
	Names { agent: AgentId, after: Option<H256>, names_max: u32 },
	#[codec(index = 5)]
	Agents { after: Option<AgentId>, agents_max: u32 },
	#[codec(index = 6)]
	Usage { agent: AgentId },
	#[codec(index = 7)]
	Statistics,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
	#[codec(index = 0)]
	Pages(Vec<Option<Vec<u8>>>),
	#[codec(index = 1)]
	Present(Vec<bool>),
	/// Durably.
	#[codec(index = 2)]
	Done,
	#[codec(index = 3)]
	Names(Vec<H256>),
	#[codec(index = 4)]
	Agents(Vec<(AgentId, Usage)>),
	#[codec(index = 5)]
	Usage(Usage),
	#[codec(index = 6)]
	Statistics(Statistics),
	#[codec(index = 7)]
	Refused(RequestError),
}

/// What is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Usage {
	pub pages: u64,
	/// Of sealed pages.
	pub bytes: u64,
}

/// What the process did since it started, and what it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Statistics {
	/// Flushes, each of one group.
	pub commits: u64,
	/// Requests to store and to delete that they made durable.
	pub writes: u64,
	pub pages_put: u64,
	pub pages_got: u64,
	/// Reads that the file gave no sense for; each was answered as if nothing were there.
	pub damages: u64,
	pub agents: u64,
	pub stored: Usage,
	/// Length of the file.
	pub file_bytes: u64,
}

/// Why the process does not do what it is asked, and does what others ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum RequestError {
	#[error("put refused: the store would have {bytes} bytes, at most {bytes_max} are kept")]
	#[codec(index = 0)]
	StoreFull { bytes: u64, bytes_max: u64 },
	#[error("put refused: the agent would have {bytes} bytes, at most {bytes_max} are kept")]
	#[codec(index = 1)]
	AgentFull { bytes: u64, bytes_max: u64 },
	#[error("page refused: {bytes} bytes, at most {PAGE_BYTES_MAX} are accepted")]
	#[codec(index = 2)]
	PageTooLong { bytes: u64 },
	#[error("request refused: it asks for more than one answer has")]
	#[codec(index = 3)]
	TooMany,
	/// The process ends after it.
	#[error("the disk fails (error {os_error} of the system)")]
	#[codec(index = 4)]
	DiskFails { os_error: i32 },
	/// The process ends after it.
	#[error("the store's file is damaged")]
	#[codec(index = 5)]
	Damaged,
	#[error("put refused: the disk is full; make room on it, or delete pages: half of what is deleted can be put at once")]
	#[codec(index = 6)]
	DiskFull,
}

/// The process's first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
	pub protocol: u16,
	pub opened: Result<Opened, OpenError>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Opened {
	/// The number of the file that was set aside just now.
	pub set_aside: Option<u32>,
	pub stored: Usage,
}

/// Why the process ends before it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum OpenError {
	#[error("another process has the folder; one at a time is admitted")]
	#[codec(index = 0)]
	InUse,
	#[error("the file has format {found}, this release knows up to {known}; run the release that wrote it, or move the file")]
	#[codec(index = 1)]
	NewerFormat { found: u32, known: u32 },
	#[error("the folder or file cannot be used (error {os_error} of the system)")]
	#[codec(index = 2)]
	Disk { os_error: i32 },
	#[error(
		"{files} files were set aside in the folder; look at them and move them, then it goes on"
	)]
	#[codec(index = 3)]
	TooManyAside { files: u32 },
	#[error("the file has format {found} of redb, this release reads {known}; run the release that wrote it, or move the file")]
	#[codec(index = 4)]
	EngineFormat { found: u8, known: u8 },
	#[error("its folder does not exist; mount the disk that has it, or make the folder if this worker is new")]
	#[codec(index = 5)]
	NoFolder,
}

/// What stands before a frame's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
	pub id: u64,
	pub body_bytes: usize,
}

const ID_BYTES: usize = 8;

/// A frame, whole.
pub fn frame(id: u64, body: &impl Encode) -> Vec<u8> {
	let body = body.encode();
	// Longer than what `u32` counts is no body of ours: it is cut, and refused by who reads it.
	let length = u32::try_from(body.len().saturating_add(ID_BYTES)).unwrap_or(u32::MAX);
	[&length.to_le_bytes()[..], &id.to_le_bytes(), &body].concat()
}

/// The next frame's head; none at the end, between two frames.
pub fn read_head(input: &mut (impl Read + ?Sized)) -> io::Result<Option<FrameHead>> {
	let mut length = [0; 4];
	let [first, rest @ ..] = &mut length;
	loop {
		match input.read(std::slice::from_mut(first)) {
			Ok(0) => return Ok(None),
			Ok(_) => break,
			Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
			Err(error) => return Err(error),
		}
	}
	input.read_exact(rest)?;
	let length = u32::from_le_bytes(length) as usize;
	let body_bytes = length.checked_sub(ID_BYTES).filter(|bytes| *bytes <= FRAME_BYTES_MAX);
	let body_bytes = body_bytes.ok_or(io::ErrorKind::InvalidData)?;
	let mut id = [0; ID_BYTES];
	input.read_exact(&mut id)?;
	Ok(Some(FrameHead { id: u64::from_le_bytes(id), body_bytes }))
}

/// Bounded by who read the head.
pub fn read_body(input: &mut (impl Read + ?Sized), bytes: usize) -> io::Result<Vec<u8>> {
	let mut body = vec![0; bytes];
	input.read_exact(&mut body)?;
	Ok(body)
}

pub fn write_frame(
	output: &mut (impl Write + ?Sized),
	id: u64,
	body: &impl Encode,
) -> io::Result<()> {
	output.write_all(&frame(id, body))?;
	output.flush()
}

/// What an answer to a request can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
	Pages { count: usize },
	Present { count: usize },
	Done,
	Names { after: Option<H256>, names_max: usize },
	Agents { after: Option<AgentId>, agents_max: usize },
	Usage,
	Statistics,
}

impl Expected {
	pub fn of(request: &Request) -> Self {
		match request {
			Request::Get { names, .. } => Self::Pages { count: names.len() },
			Request::Has { names, .. } => Self::Present { count: names.len() },
			Request::Put { .. } | Request::Delete { .. } => Self::Done,
			Request::Names { after, names_max, .. } => Self::Names {
				after: *after,
				names_max: (*names_max as usize).min(NAMES_PER_FRAME_MAX),
			},
			Request::Agents { after, agents_max } => Self::Agents {
				after: *after,
				agents_max: (*agents_max as usize).min(AGENTS_PER_FRAME_MAX),
			},
			Request::Usage { .. } => Self::Usage,
			Request::Statistics => Self::Statistics,
		}
	}

	/// Longest answer, in bytes.
	pub fn bytes_max(&self) -> usize {
		/// Of a variant and a length.
		const HEAD: usize = 5;
		let each = |count: &usize, bytes: usize| count.saturating_mul(bytes).saturating_add(HEAD);
		let answer = match self {
			Self::Pages { count } => each(count, PAGE_BYTES_MAX + HEAD),
			Self::Present { count } => each(count, 1),
			Self::Names { names_max, .. } => each(names_max, 32),
			Self::Agents { agents_max, .. } => each(agents_max, 32 + 16),
			Self::Statistics => 128,
			Self::Done | Self::Usage => HEAD + 16,
		};
		answer.max(REFUSAL_BYTES_MAX)
	}

	/// The answer, if it is one to this request; else what is wrong with it.
	pub fn read(&self, body: &[u8]) -> Result<Answer, &'static str> {
		if body.len() > self.bytes_max() {
			return Err("its answer is longer than what was asked for");
		}
		// Lists are counted before they are read: a short answer that says it is long costs nothing.
		let counted = match self {
			Self::Pages { .. }
			| Self::Present { .. }
			| Self::Names { .. }
			| Self::Agents { .. } => {
				body.get(1..).and_then(|mut rest| Compact::<u32>::decode(&mut rest).ok())
			}
			_ => None,
		};
		let counted = counted.map_or(0, |count| count.0 as usize);
		let allowed = match self {
			Self::Pages { count } | Self::Present { count } => *count,
			Self::Names { names_max, .. } => *names_max,
			Self::Agents { agents_max, .. } => *agents_max,
			_ => 0,
		};
		let is_refusal = body.first() == Some(&REFUSED_INDEX);
		if counted > allowed && !is_refusal {
			return Err("its answer has more than what was asked for");
		}
		let answer =
			Answer::decode_all(&mut &*body).map_err(|_| "its answer is no encoding of one")?;
		match (self, &answer) {
			(_, Answer::Refused(_))
			| (Self::Done, Answer::Done)
			| (Self::Usage, Answer::Usage(_))
			| (Self::Statistics, Answer::Statistics(_)) => {}
			(Self::Pages { count }, Answer::Pages(pages)) => {
				if pages.len() != *count {
					return Err("its answer has fewer pages than were asked for");
				}
				if pages.iter().flatten().any(|page| page.len() > PAGE_BYTES_MAX) {
					return Err("its answer has a page that is too long");
				}
			}
			(Self::Present { count }, Answer::Present(present)) => {
				if present.len() != *count {
					return Err("its answer is about fewer pages than were asked for");
				}
			}
			(Self::Names { after, .. }, Answer::Names(names)) => {
				if !ascend(*after, names.iter().copied()) {
					return Err("its list of names is not in order");
				}
			}
			(Self::Agents { after, .. }, Answer::Agents(agents)) => {
				if !ascend(*after, agents.iter().map(|(agent, _)| *agent)) {
					return Err("its list of agents is not in order");
				}
			}
			_ => return Err("its answer is one to another question"),
		}
		Ok(answer)
	}
}

const REFUSED_INDEX: u8 = 7;

fn ascend(after: Option<H256>, names: impl Iterator<Item = H256>) -> bool {
	let mut last = after;
	for name in names {
		if last.is_some_and(|last| name <= last) {
			return false;
		}
		last = Some(name);
	}
	true
}

impl Request {
	/// Whether it is within what one frame may have; the process asks.
	pub fn check(&self) -> Result<(), RequestError> {
		let (count, count_max) = match self {
			Self::Get { names, .. } => (names.len(), PAGES_PER_FRAME_MAX),
			Self::Put { pages, .. } => (pages.len(), PAGES_PER_FRAME_MAX),
			Self::Has { names, .. } | Self::Delete { names, .. } => {
				(names.len(), NAMES_PER_FRAME_MAX)
			}
			Self::Names { names_max, .. } => (*names_max as usize, NAMES_PER_FRAME_MAX),
			Self::Agents { agents_max, .. } => (*agents_max as usize, AGENTS_PER_FRAME_MAX),
			Self::Usage { .. } | Self::Statistics => (0, 0),
		};
		if count > count_max {
			return Err(RequestError::TooMany);
		}
		if let Self::Put { pages, .. } = self {
			let longest = pages.iter().map(|(_, page)| page.len()).max().unwrap_or(0);
			if longest > PAGE_BYTES_MAX {
				return Err(RequestError::PageTooLong { bytes: longest as u64 });
			}
		}
		Ok(())
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn refusals_and_hellos_fit_their_limits() {
		let refusal = RequestError::StoreFull { bytes: u64::MAX, bytes_max: u64::MAX };
		let encoded = Answer::Refused(refusal).encode();
		assert_eq!(encoded[0], REFUSED_INDEX);
		assert!(encoded.len() <= REFUSAL_BYTES_MAX);
		let full = Usage { pages: u64::MAX, bytes: u64::MAX };
		let opened = Ok(Opened { set_aside: Some(u32::MAX), stored: full });
		let hello = Hello { protocol: PROTOCOL_VERSION, opened };
		assert!(hello.encode().len() <= crate::limits::HELLO_BYTES_MAX);
		assert!(
			Answer::Statistics(Statistics::default()).encode().len()
				<= Expected::Statistics.bytes_max()
		);
	}

	#[test]
	fn the_longest_answers_fit_a_frame_and_one_more_byte_is_refused() {
		let pages = vec![Some(vec![7; PAGE_BYTES_MAX]); PAGES_PER_FRAME_MAX];
		let expected = Expected::Pages { count: PAGES_PER_FRAME_MAX };
		assert!(expected.bytes_max() <= FRAME_BYTES_MAX);
		let body = Answer::Pages(pages.clone()).encode();
		assert_eq!(expected.read(&body), Ok(Answer::Pages(pages)));
		let long = Answer::Pages(vec![Some(vec![7; PAGE_BYTES_MAX + 1])]).encode();
		assert!(Expected::Pages { count: 1 }.read(&long).is_err());
		let names: Vec<H256> =
			(0..NAMES_PER_FRAME_MAX as u64 + 1).map(H256::from_low_u64_be).collect();
		let expected = Expected::Names { after: None, names_max: NAMES_PER_FRAME_MAX };
		assert!(expected.read(&Answer::Names(names[1..].to_vec()).encode()).is_ok());
		assert!(expected.read(&Answer::Names(names).encode()).is_err());
	}

	#[test]
	fn frames_come_back_and_longer_ones_are_not_read() {
		let request = Request::Has { agent: H256([1; 32]), names: vec![H256([2; 32]); 3] };
		let bytes = frame(77, &request);
		let mut input = &bytes[..];
		let head = read_head(&mut input).unwrap().unwrap();
		assert_eq!(head.id, 77);
		let body = read_body(&mut input, head.body_bytes).unwrap();
		assert_eq!(Request::decode_all(&mut &body[..]).unwrap(), request);
		assert_eq!(read_head(&mut input).unwrap(), None, "the end");
		assert!(read_head(&mut &bytes[..7]).is_err(), "torn");
		let longest = (FRAME_BYTES_MAX + ID_BYTES) as u32;
		let head = |length: u32| read_head(&mut &[&length.to_le_bytes()[..], &[0; 8]].concat()[..]);
		assert_eq!(head(longest).unwrap().unwrap().body_bytes, FRAME_BYTES_MAX);
		assert!(head(longest + 1).is_err());
		assert!(head(ID_BYTES as u32 - 1).is_err());
	}
}
