//! The socket on which a network takes its orders, and who it is that listens there.

use super::{Done, Order};
use crate::{
	failure::{self, CommandError},
	limits,
	output::Failure,
};
use anyhow::Context;
use phala_devnet::specification::cache_folder;
use std::{
	convert::Infallible,
	os::unix::fs::FileTypeExt,
	path::{Path, PathBuf},
	time::{Duration, Instant},
};
use tokio::{
	io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
	net::{UnixListener, UnixStream},
};

/// A question is short.
const LINE_BYTES_MAX: u64 = 4 * 1024;

/// How long somebody may take to say what they want.
const ASKING_MAX: Duration = Duration::from_secs(2);

/// The socket of a network whose chain listens on `port`.
pub(super) fn socket(port: u16) -> anyhow::Result<PathBuf> {
	Ok(cache_folder()?.join(format!("network-{port}.sock")))
}

/// Where a network that is up takes orders; removed when it is dropped.
pub struct Control {
	listener: UnixListener,
	path: PathBuf,
	chain: String,
}

/// What a network does that takes no orders.
#[derive(Clone, Copy)]
pub enum Moment {
	/// Since then.
	Starting(Instant),
	Stopping,
}

impl Moment {
	fn refusal(self, chain: &str) -> CommandError {
		match self {
			Self::Starting(since) => {
				let seconds = since.elapsed().as_secs();
				let message = format!("the network with its chain at {chain} is starting, since {seconds} s: its own terminal says how far it is; try again when that shows its URLs");
				CommandError::new("NetworkStarting", message)
			}
			Self::Stopping => {
				let message = format!("the network with its chain at {chain} is stopping; once it has, `phala network up` starts a new one");
				CommandError::new("NetworkStopping", message)
			}
		}
	}
}

/// Whether a network that takes its orders by this port is there, be it about to start or to stop.
pub fn is_claimed(port: u16) -> bool {
	let path = socket(port).ok();
	path.is_some_and(|path| std::os::unix::net::UnixStream::connect(path).is_ok())
}

/// Tells whoever asks what the network does; does not end.
pub async fn put_off(control: Option<&Control>, moment: Moment) -> Infallible {
	let Some(control) = control else { return std::future::pending().await };
	loop {
		let Ok(stream) = control.accept().await else {
			tokio::time::sleep(ASKING_MAX).await;
			continue;
		};
		let (read, mut write) = stream.into_split();
		// It would be cut off in the middle of its question, and not hear the answer.
		question(read).await;
		let error = failure::body(&moment.refusal(&control.chain).into());
		answer(&mut write, &Done::Refused(Failure { error })).await;
	}
}

pub(super) async fn answer(to: &mut (impl AsyncWriteExt + Unpin), done: &Done) {
	// All of it are texts and numbers.
	let answer = serde_json::to_string(done).unwrap_or_default();
	let _ = to.write_all(format!("{answer}\n").as_bytes()).await;
}

/// Removes the sockets of networks that were killed: nobody listens on them.
fn remove_dead(folder: &Path) {
	let Ok(entries) = std::fs::read_dir(folder) else { return };
	for path in entries.flatten().map(|entry| entry.path()) {
		let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
		let is_ours = name.strip_prefix("network-").and_then(|name| name.strip_suffix(".sock"));
		let is_ours = is_ours.is_some_and(|port| port.parse::<u16>().is_ok());
		let is_socket =
			|| std::fs::metadata(&path).is_ok_and(|found| found.file_type().is_socket());
		let refused = || {
			std::os::unix::net::UnixStream::connect(&path)
				.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
		};
		if is_ours && is_socket() && refused() {
			let _ = std::fs::remove_file(&path);
		}
	}
}

impl Drop for Control {
	fn drop(&mut self) {
		let _ = std::fs::remove_file(&self.path);
	}
}

impl Control {
	/// For the network whose chain has this URL.
	pub fn open(chain: &str) -> anyhow::Result<Self> {
		let path = socket(port(chain)?)?;
		std::fs::create_dir_all(cache_folder()?)
			.with_context(|| format!("cannot listen on {}", path.display()))?;
		// Of one that was killed; of one that is there it stays, and this one is refused.
		remove_dead(&cache_folder()?);
		let listener = UnixListener::bind(&path)
			.with_context(|| format!("cannot listen on {}", path.display()))?;
		Ok(Self { listener, path, chain: chain.to_owned() })
	}

	/// Somebody who wants something. Nothing is lost when this is dropped.
	pub async fn accept(&self) -> std::io::Result<UnixStream> {
		Ok(self.listener.accept().await?.0)
	}
}

/// What somebody wants, as a line; none of one that says nothing in time.
pub(super) async fn question(from: impl AsyncReadExt + Unpin) -> Option<String> {
	let mut line = String::new();
	let mut read = BufReader::new(from.take(LINE_BYTES_MAX));
	let reading = tokio::time::timeout(ASKING_MAX, read.read_line(&mut line));
	matches!(reading.await, Ok(Ok(_))).then_some(line)
}

pub(super) fn port(chain: &str) -> anyhow::Result<u16> {
	let is_node = |url: &url::Url| ["ws", "wss"].contains(&url.scheme());
	let url = url::Url::parse(chain).ok().filter(is_node);
	let Some(port) = url.as_ref().and_then(url::Url::port) else {
		refuse!("Usage", "{chain} is no URL of a node with a port, as in ws://127.0.0.1:9944: --node or PHALA_NODE name the chain of a network that is up on this machine");
	};
	Ok(port)
}

/// What a network answers. One that was stopped takes what is asked, and says nothing.
pub(super) async fn ask(path: &Path, order: &Order) -> std::io::Result<String> {
	let max = match order {
		Order::Agents => limits::NAMES_MAX,
		Order::Stop { .. } | Order::Start { .. } | Order::Status => limits::ORDER_MAX,
	};
	ask_in_time(path, order, max).await
}

async fn ask_in_time(path: &Path, order: &Order, max: Duration) -> std::io::Result<String> {
	let asking = async {
		let mut stream = UnixStream::connect(path).await?;
		stream.write_all(format!("{}\n", serde_json::to_string(order)?).as_bytes()).await?;
		let mut answer = String::new();
		stream.read_to_string(&mut answer).await?;
		Ok(answer)
	};
	tokio::time::timeout(max, asking).await.unwrap_or_else(|_| {
		let why = format!("does not answer within {} s", max.as_secs());
		Err(std::io::Error::new(std::io::ErrorKind::TimedOut, why))
	})
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_network_is_named_by_its_node_s_url_as_everywhere() {
		assert_eq!(port("ws://127.0.0.1:9944").unwrap(), 9_944);
		for other in ["http://127.0.0.1:9944", "127.0.0.1:9944", "ws://127.0.0.1"] {
			let refused = failure::body(&port(other).unwrap_err());
			assert_eq!(refused.code, "Usage");
			assert!(refused.message.contains("ws://127.0.0.1:9944"), "{}", refused.message);
		}
	}

	#[test]
	fn the_socket_of_a_network_that_was_killed_is_removed_and_no_other_file() {
		let folder = tempfile::tempdir().unwrap();
		let path = |name: &str| folder.path().join(name);
		let listen = |name| std::os::unix::net::UnixListener::bind(path(name)).unwrap();
		drop(listen("network-9944.sock"));
		let lives = listen("network-10044.sock");
		drop(listen("other.sock"));
		std::fs::write(path("network-1.sock"), "no socket").unwrap();
		remove_dead(folder.path());
		for (name, stays) in [
			("network-9944.sock", false),
			("network-10044.sock", true),
			("other.sock", true),
			("network-1.sock", true),
		] {
			assert_eq!(path(name).exists(), stays, "{name}");
		}
		drop(lives);
	}

	#[tokio::test]
	async fn a_network_that_was_stopped_holds_nobody_up_for_ever() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("network-1.sock");
		// It is connected to, and never accepts.
		let _stopped = UnixListener::bind(&path).unwrap();
		let asked = ask_in_time(&path, &Order::Agents, Duration::from_millis(10)).await;
		assert_eq!(asked.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
	}

	#[tokio::test]
	async fn who_asks_a_network_that_starts_or_stops_is_told_so() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("network-1.sock");
		let listener = UnixListener::bind(&path).unwrap();
		let control = Control { listener, path: path.clone(), chain: "ws://x".into() };
		for (moment, code, part) in [
			(Moment::Starting(Instant::now()), "NetworkStarting", "ws://x is starting"),
			(Moment::Stopping, "NetworkStopping", "ws://x is stopping"),
		] {
			let answer = tokio::select! {
				answer = ask(&path, &Order::Status) => answer.unwrap(),
				never = put_off(Some(&control), moment) => match never {},
			};
			let Ok(Done::Refused(Failure { error })) = serde_json::from_str(&answer) else {
				panic!("{answer} refuses")
			};
			assert_eq!(error.code, code);
			assert!(error.message.contains(part), "{}", error.message);
		}
	}
}
