//! A loopback TCP proxy that records what passes, both ways.

use std::{
	net::SocketAddr,
	sync::{Arc, Mutex, PoisonError},
};
use tokio::{
	io::{AsyncReadExt, AsyncWriteExt},
	net::{
		tcp::{OwnedReadHalf, OwnedWriteHalf},
		TcpListener, TcpStream,
	},
	task::JoinHandle,
};

/// What passed over one connection.
#[derive(Clone, Default)]
struct Connection {
	/// By who connected.
	asked: Vec<u8>,
	answered: Vec<u8>,
}

/// Listens, passes on, records. Dropping it closes its server.
pub struct Tap {
	/// What it stands before.
	pub name: String,
	/// Where it listens.
	pub address: SocketAddr,
	recorded: Arc<Mutex<Vec<Arc<Mutex<Connection>>>>>,
	task: JoinHandle<()>,
}

impl Drop for Tap {
	fn drop(&mut self) {
		self.task.abort();
	}
}

impl Tap {
	/// In front of the server at `url`, of which only host and port matter.
	///
	/// # Errors
	/// When there is no free port.
	pub async fn before(name: &str, url: &str) -> anyhow::Result<Self> {
		let target = url.split_once("://").map_or(url, |(_, address)| address);
		let target: SocketAddr = target.trim_end_matches('/').parse()?;
		let listener = TcpListener::bind("127.0.0.1:0").await?;
		let address = listener.local_addr()?;
		let recorded = Arc::<Mutex<Vec<Arc<Mutex<Connection>>>>>::default();
		let task = tokio::spawn({
			let recorded = recorded.clone();
			async move {
				while let Ok((from, _)) = listener.accept().await {
					// A server that is gone looks gone: the connection is closed.
					let Ok(to) = TcpStream::connect(target).await else { continue };
					let connection = Arc::<Mutex<Connection>>::default();
					lock(&recorded).push(connection.clone());
					let ((from_read, from_write), (to_read, to_write)) =
						(from.into_split(), to.into_split());
					let asking = connection.clone();
					tokio::spawn(pass(from_read, to_write, move |bytes| {
						lock(&asking).asked.extend(bytes);
					}));
					tokio::spawn(pass(to_read, from_write, move |bytes| {
						lock(&connection).answered.extend(bytes);
					}));
				}
			}
		});
		Ok(Self { name: name.into(), address, recorded, task })
	}

	/// As what it stands before is addressed.
	pub fn url(&self, scheme: &str) -> String {
		format!("{scheme}://{}", self.address)
	}

	/// All that passed, each stream whole. Of websockets also what is in their frames: what a client
	/// sends is masked on the way.
	pub fn recorded(&self) -> Vec<Vec<u8>> {
		let mut streams = Vec::new();
		for connection in lock(&self.recorded).iter() {
			let Connection { asked, answered } = lock(connection).clone();
			for stream in [asked, answered] {
				streams.extend(unframed(&stream));
				streams.push(stream);
			}
		}
		streams
	}

	/// The bodies of the HTTP requests whose head starts with `start`, as far as they have a length.
	pub fn bodies_of(&self, start: &str) -> Vec<Vec<u8>> {
		let mut found = Vec::new();
		for connection in lock(&self.recorded).iter() {
			let asked = lock(connection).asked.clone();
			let mut rest = &asked[..];
			while let Some((head, after)) = split_head(rest) {
				let length = head
					.lines()
					.filter_map(|line| line.split_once(':'))
					.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
					.and_then(|(_, value)| value.trim().parse::<usize>().ok())
					.unwrap_or_default();
				let Some(body) = after.get(..length) else { break };
				if head.starts_with(start) {
					found.push(body.to_vec());
				}
				rest = &after[length..];
			}
		}
		found
	}
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
	mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, record: impl Fn(&[u8])) {
	let mut buffer = vec![0; 64 * 1024];
	while let Ok(count @ 1..) = from.read(&mut buffer).await {
		record(&buffer[..count]);
		if to.write_all(&buffer[..count]).await.is_err() {
			break;
		}
	}
	let _ = to.shutdown().await;
}

/// The head of an HTTP message, and what follows it.
fn split_head(stream: &[u8]) -> Option<(String, &[u8])> {
	let end = stream.windows(4).position(|four| four == b"\r\n\r\n")?;
	Some((String::from_utf8_lossy(&stream[..end]).into_owned(), &stream[end + 4..]))
}

/// What is in the frames (RFC 6455 §5.2) of a websocket's stream; `None` if it is none.
fn unframed(stream: &[u8]) -> Option<Vec<u8>> {
	let (head, mut rest) = split_head(stream)?;
	if !head.to_ascii_lowercase().contains("upgrade: websocket") {
		return None;
	}
	let mut content = Vec::new();
	while let [_, second, after @ ..] = rest {
		let (length_bytes, length) = match second & 0x7f {
			126 => (2, None),
			127 => (8, None),
			short => (0, Some(u64::from(short))),
		};
		let Some(extended) = after.get(..length_bytes) else { break };
		let length = length.unwrap_or_else(|| {
			extended.iter().fold(0, |length, byte| (length << 8) | u64::from(*byte))
		});
		let mask_bytes = if second & 0x80 != 0 { 4 } else { 0 };
		let (start, length) = (length_bytes + mask_bytes, usize::try_from(length).ok()?);
		let Some(payload) = after.get(start..start.saturating_add(length)) else { break };
		let mask = &after[length_bytes..start];
		content.extend(payload.iter().enumerate().map(|(index, byte)| match mask {
			[] => *byte,
			mask => byte ^ mask[index % 4],
		}));
		rest = &after[start + length..];
	}
	Some(content)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn masked_frames_are_read_and_a_cut_one_is_left_out() {
		let head = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
		let masked = [0x81, 0x83, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3];
		let long = [&[0x82, 126, 0, 130][..], &[b'd'; 130]].concat();
		let stream = [&head[..], &masked, &long, &[0x81, 5, b'e']].concat();
		let expected = [&b"abc"[..], &[b'd'; 130]].concat();
		assert_eq!(unframed(&stream), Some(expected));
		assert_eq!(unframed(b"GET / HTTP/1.1\r\n\r\nabc"), None);
	}

	#[tokio::test]
	async fn what_passes_is_recorded_both_ways() -> anyhow::Result<()> {
		let server = TcpListener::bind("127.0.0.1:0").await?;
		let tap = Tap::before("server", &format!("http://{}", server.local_addr()?)).await?;
		let asking = async {
			let mut stream = TcpStream::connect(tap.address).await?;
			stream.write_all(b"POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi").await?;
			let mut answer = Vec::new();
			stream.read_to_end(&mut answer).await?;
			anyhow::Ok(answer)
		};
		let answering = async {
			let (mut stream, _) = server.accept().await?;
			let mut asked = [0; 41];
			stream.read_exact(&mut asked).await?;
			stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nyes").await?;
			anyhow::Ok(())
		};
		let (answer, ()) = tokio::try_join!(asking, answering)?;
		assert!(answer.ends_with(b"yes"));
		assert!(tap.recorded().iter().any(|stream| stream.ends_with(b"yes")));
		assert_eq!(tap.bodies_of("POST /x"), [b"hi".to_vec()]);
		assert!(tap.bodies_of("POST /y").is_empty());
		Ok(())
	}
}
