//! The process: reads requests, answers them. One thread makes writes durable, group by group; a few
//! read pages meanwhile.

mod file;
mod pages;
mod reserve;

pub use file::{aside_path, FILE, FORMAT_VERSION};
pub use pages::Quota;

use crate::{
	limits::{GROUP_BYTES_MAX, READERS, REQUESTS_QUEUED_MAX},
	protocol::{
		read_body, read_head, write_frame, Answer, Hello, Request, RequestError, Statistics,
		HELLO_ID, PROTOCOL_VERSION,
	},
};
use codec::DecodeAll;
use pages::{StoredPages, Write};
use std::{
	io::{self, Read},
	path::PathBuf,
	process,
	sync::{
		atomic::{AtomicU64, Ordering::Relaxed},
		mpsc::{sync_channel, Receiver},
		Mutex, PoisonError,
	},
	thread,
};

#[derive(Clone, Debug)]
pub struct ServerConfig {
	pub folder: PathBuf,
	pub quota: Quota,
	/// What redb keeps of the file in memory.
	pub cache_bytes: usize,
	/// Whether to set the file aside, whatever it is.
	pub set_aside: bool,
}

/// How a process ended, by its exit status. What is none of these may be the file's doing.
pub const EXIT_REFUSED: i32 = 3;
pub const EXIT_DISK_FAILS: i32 = 4;
pub const EXIT_DAMAGED: i32 = 5;
pub const EXIT_PANIC: i32 = 101;

#[derive(Default)]
struct Counts {
	commits: AtomicU64,
	writes: AtomicU64,
	pages_put: AtomicU64,
	pages_got: AtomicU64,
}

struct Server<O> {
	pages: StoredPages,
	counts: Counts,
	output: Mutex<O>,
}

/// Serves until the input ends; what was asked before is done first. What is no request ends it too: the
/// other side is the enclave, or nobody. A panic once it serves, in any thread, ends the process.
pub fn serve(
	config: &ServerConfig,
	input: &mut impl Read,
	mut output: impl io::Write + Send,
) -> io::Result<i32> {
	let opened = file::open(&config.folder, config.cache_bytes, config.set_aside);
	let hello = Hello {
		protocol: PROTOCOL_VERSION,
		opened: opened.as_ref().map(|(_, opened)| *opened).map_err(|why| *why),
	};
	write_frame(&mut output, HELLO_ID, &hello)?;
	let (files, opened) = match opened {
		Ok(opened) => opened,
		Err(why) => {
			eprintln!("page store: {} is not opened: {why}", config.folder.display());
			return Ok(EXIT_REFUSED);
		}
	};
	// From here on a thread that is gone would leave requests without an answer.
	let print = std::panic::take_hook();
	std::panic::set_hook(Box::new(move |panic| {
		print(panic);
		process::exit(EXIT_PANIC);
	}));
	let server = Server {
		pages: StoredPages::new(files, opened.stored, config.quota),
		counts: Counts::default(),
		output: Mutex::new(output),
	};
	let (reads, to_read) = sync_channel(REQUESTS_QUEUED_MAX);
	let to_read = Mutex::new(to_read);
	thread::scope(|scope| {
		let to_read = &to_read;
		// Gone with this thread's part, so that the others come to their end.
		let reads = reads;
		let (writes, to_write) = sync_channel(REQUESTS_QUEUED_MAX);
		let server = &server;
		scope.spawn(move || server.write(&to_write));
		for _ in 0..READERS {
			scope.spawn(move || server.read(to_read));
		}
		while let Some(head) = read_head(input)? {
			let body = read_body(input, head.body_bytes)?;
			let request = Request::decode_all(&mut &body[..])
				.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no request"))?;
			if let Err(refusal) = request.check() {
				server.answer(head.id, &Answer::Refused(refusal));
				continue;
			}
			// Fails only when the threads are gone, and they end with the process.
			let _ = match request {
				Request::Put { agent, pages } => {
					writes.send((head.id, Write::Put { agent, pages })).is_ok()
				}
				Request::Delete { agent, names } => {
					writes.send((head.id, Write::Delete { agent, names })).is_ok()
				}
				request => reads.send((head.id, request)).is_ok(),
			};
		}
		Ok(0)
	})
}

/// The first and those that came with it, until they have the bytes of a group.
fn gather(
	first: (u64, Write),
	mut next: impl FnMut() -> Option<(u64, Write)>,
) -> (Vec<u64>, Vec<Write>) {
	let mut bytes = first.1.bytes();
	let (mut ids, mut group) = (vec![first.0], vec![first.1]);
	while bytes < GROUP_BYTES_MAX {
		let Some((id, next)) = next() else { break };
		bytes = bytes.saturating_add(next.bytes());
		ids.push(id);
		group.push(next);
	}
	(ids, group)
}

impl<O: io::Write + Send> Server<O> {
	/// If nobody reads it the input ends too.
	fn answer(&self, id: u64, answer: &Answer) {
		let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
		let _ = write_frame(&mut *output, id, answer);
	}

	/// Group after group: what came while the last was made durable, up to a limit.
	fn write(&self, requests: &Receiver<(u64, Write)>) {
		while let Ok((id, first)) = requests.recv() {
			let (ids, group) = gather((id, first), || requests.try_recv().ok());
			match self.pages.commit(&group) {
				Ok((answers, is_changed)) => {
					self.counts.commits.fetch_add(u64::from(is_changed), Relaxed);
					self.counts.writes.fetch_add(group.len() as u64, Relaxed);
					for ((id, request), answer) in ids.into_iter().zip(&group).zip(answers) {
						if let (Write::Put { pages, .. }, Answer::Done) = (request, &answer) {
							self.counts.pages_put.fetch_add(pages.len() as u64, Relaxed);
						}
						self.answer(id, &answer);
					}
				}
				Err(error) => self.end(&ids, &error),
			}
		}
	}

	fn read(&self, requests: &Mutex<Receiver<(u64, Request)>>) {
		loop {
			let next = requests.lock().unwrap_or_else(PoisonError::into_inner).recv();
			let Ok((id, request)) = next else { return };
			match self.read_one(&request) {
				Ok(answer) => self.answer(id, &answer),
				Err(error) => self.end(&[id], &error),
			}
		}
	}

	fn read_one(&self, request: &Request) -> Result<Answer, redb::Error> {
		Ok(match request {
			Request::Get { agent, names } => {
				let pages = self.pages.get(agent, names)?;
				let found = pages.iter().flatten().count() as u64;
				self.counts.pages_got.fetch_add(found, Relaxed);
				Answer::Pages(pages)
			}
			Request::Has { agent, names } => Answer::Present(self.pages.has(agent, names)?),
			Request::Names { agent, after, names_max } => {
				Answer::Names(self.pages.names(agent, *after, *names_max as usize)?)
			}
			Request::Agents { after, agents_max } => {
				Answer::Agents(self.pages.agents(*after, *agents_max as usize)?)
			}
			Request::Usage { agent } => Answer::Usage(self.pages.usage(agent)?),
			Request::Statistics => Answer::Statistics(Statistics {
				commits: self.counts.commits.load(Relaxed),
				writes: self.counts.writes.load(Relaxed),
				pages_put: self.counts.pages_put.load(Relaxed),
				pages_got: self.counts.pages_got.load(Relaxed),
				damages: self.pages.damages.load(Relaxed),
				agents: self.pages.agents_count()?,
				stored: self.pages.stored(),
				file_bytes: self.pages.file_bytes(),
			}),
			// They went to the other thread.
			Request::Put { .. } | Request::Delete { .. } => Answer::Refused(RequestError::TooMany),
		})
	}

	/// redb does nothing more with a file after some errors: who waits is told, and the process ends and
	/// is started again.
	fn end(&self, ids: &[u64], error: &redb::Error) {
		eprintln!("page store: ends, since its file fails: {error}");
		let (refusal, status) = match error {
			redb::Error::Io(error) => {
				(RequestError::DiskFails { os_error: file::os_error(error) }, EXIT_DISK_FAILS)
			}
			redb::Error::PreviousIo => {
				let unknown = file::os_error(&io::Error::other("before"));
				(RequestError::DiskFails { os_error: unknown }, EXIT_DISK_FAILS)
			}
			_ => (RequestError::Damaged, EXIT_DAMAGED),
		};
		for id in ids {
			self.answer(*id, &Answer::Refused(refusal));
		}
		process::exit(status);
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::limits::{DELETION_BYTES, NAMES_PER_FRAME_MAX, PAGES_PER_FRAME_MAX, PAGE_BYTES_MAX};
	use phala_protocol::H256;

	/// How many of these share a commit.
	fn group(each: impl Fn() -> Write) -> usize {
		let mut asked = (1..).map(|id| (id, each()));
		let (ids, group) = gather((0, each()), || asked.next());
		assert!(ids.iter().copied().eq(0..group.len() as u64));
		group.len()
	}

	#[test]
	fn a_group_ends_with_the_request_that_fills_it() {
		let put = |bytes| {
			move || Write::Put {
				agent: H256::zero(),
				pages: vec![(H256::zero(), vec![0; bytes]); PAGES_PER_FRAME_MAX],
			}
		};
		let frame = PAGES_PER_FRAME_MAX * PAGE_BYTES_MAX;
		assert_eq!(group(put(PAGE_BYTES_MAX)), GROUP_BYTES_MAX / frame);
		assert_eq!(group(put(PAGE_BYTES_MAX - 1)), GROUP_BYTES_MAX / frame + 1);
		let names = vec![H256::zero(); NAMES_PER_FRAME_MAX];
		let deletions = group(|| Write::Delete { agent: H256::zero(), names: names.clone() });
		assert_eq!(deletions, GROUP_BYTES_MAX / DELETION_BYTES / NAMES_PER_FRAME_MAX);
	}
}
