//! A loopback TCP proxy before a server: records what passes, both ways, and makes faults.
//!
//! Its address stays when the server behind it is started anew on another port ([`Proxy::lead_to`]).
//!
//! | fault | what others see |
//! |---|---|
//! | [`Proxy::cut`] | nobody reaches the server |
//! | [`Proxy::cut_from`] | one process does not reach it: a connection's owner is looked up in /proc |
//! | [`Proxy::refuse`] | requests that begin so do not reach it, all others do |
//!
//! A fault closes the connections that there are, those of bystanders too: they come again.

use anyhow::Context;
use std::{
	collections::BTreeSet,
	fs,
	net::{SocketAddr, SocketAddrV4},
	sync::{Arc, Mutex, PoisonError},
};
use tokio::{
	io::{AsyncReadExt, AsyncWriteExt},
	net::{
		tcp::{OwnedReadHalf, OwnedWriteHalf},
		TcpListener, TcpStream,
	},
	sync::watch,
	task::JoinHandle,
};

/// What passed over one connection.
#[derive(Clone, Default)]
struct Connection {
	/// By who connected.
	asked: Vec<u8>,
	answered: Vec<u8>,
}

/// What does not pass.
#[derive(Clone, Default)]
struct Faults {
	/// Where the server is.
	target: Option<SocketAddr>,
	is_cut: bool,
	/// Processes.
	cut_from: BTreeSet<u32>,
	/// How refused requests begin.
	refused: Vec<Vec<u8>>,
}

/// Listens, passes on, records. Dropping it closes its server.
pub struct Proxy {
	/// What it stands before.
	pub name: String,
	/// Where it listens.
	pub address: SocketAddr,
	recorded: Arc<Mutex<Vec<Arc<Mutex<Connection>>>>>,
	faults: watch::Sender<Faults>,
	task: JoinHandle<()>,
}

impl Drop for Proxy {
	fn drop(&mut self) {
		self.task.abort();
	}
}

impl Proxy {
	/// In front of the server at `url`, of which only host and port matter.
	pub async fn before(name: &str, url: &str) -> anyhow::Result<Self> {
		let listener = TcpListener::bind("127.0.0.1:0").await?;
		let address = listener.local_addr()?;
		let recorded = Arc::<Mutex<Vec<Arc<Mutex<Connection>>>>>::default();
		let (faults, seen) = watch::channel(Faults::default());
		let task = tokio::spawn({
			let recorded = recorded.clone();
			async move {
				while let Ok((from, peer)) = listener.accept().await {
					let connection = Arc::<Mutex<Connection>>::default();
					lock(&recorded).push(connection.clone());
					tokio::spawn(serve(from, peer, seen.clone(), connection));
				}
			}
		});
		let proxy = Self { name: name.into(), address, recorded, faults, task };
		proxy.lead_to(url)?;
		Ok(proxy)
	}

	/// Leads to another server from now on.
	pub fn lead_to(&self, url: &str) -> anyhow::Result<()> {
		let target = url.split_once("://").map_or(url, |(_, address)| address);
		let target = target.trim_end_matches('/').parse();
		let target = target.with_context(|| format!("{url} has no address"))?;
		self.faults.send_modify(|faults| faults.target = Some(target));
		Ok(())
	}

	/// Nobody reaches the server.
	pub fn cut(&self) {
		self.faults.send_modify(|faults| faults.is_cut = true);
	}

	/// Of these processes none reaches the server.
	pub fn cut_from(&self, processes: &[u32]) {
		self.faults.send_modify(|faults| faults.cut_from.extend(processes));
	}

	/// Requests that begin so (as in `GET /path`) do not reach the server.
	pub fn refuse(&self, start: &str) {
		self.faults.send_modify(|faults| faults.refused.push(start.into()));
	}

	/// Ends all faults.
	pub fn heal(&self) {
		self.faults.send_modify(|faults| {
			*faults = Faults { target: faults.target, ..Faults::default() };
		});
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

/// One connection, until either side ends it or a fault does. A server that is gone looks gone: the
/// connection is closed.
async fn serve(
	from: TcpStream,
	peer: SocketAddr,
	mut seen: watch::Receiver<Faults>,
	connection: Arc<Mutex<Connection>>,
) {
	let faults = seen.borrow_and_update().clone();
	if faults.is_cut || faults.cut_from.iter().any(|process| owns(*process, peer)) {
		return;
	}
	let Some(target) = faults.target else { return };
	let Ok(to) = TcpStream::connect(target).await else { return };
	let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
	let asking = connection.clone();
	let passing = async {
		tokio::join!(
			pass(from_read, to_write, |bytes| {
				lock(&asking).asked.extend(bytes);
				!faults.refused.iter().any(|start| bytes.starts_with(start))
			}),
			pass(to_read, from_write, |bytes| {
				lock(&connection).answered.extend(bytes);
				true
			}),
		)
	};
	tokio::select! {
		_ = passing => {},
		// Also when the proxy is gone.
		_ = seen.changed() => {},
	}
}

/// Passes on until the end, or until `record` says that bytes are not to pass.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, record: impl Fn(&[u8]) -> bool) {
	let mut buffer = vec![0; 64 * 1024];
	while let Ok(count @ 1..) = from.read(&mut buffer).await {
		if !record(&buffer[..count]) || to.write_all(&buffer[..count]).await.is_err() {
			break;
		}
	}
	let _ = to.shutdown().await;
}

/// Whether a process has the socket with this local address: the kernel's table of connections names
/// the socket, and the process's open files have it.
fn owns(process: u32, local: SocketAddr) -> bool {
	let SocketAddr::V4(local) = local else { return false };
	let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
	let Some(socket) = socket_of(&table, local) else { return false };
	let socket = format!("socket:[{socket}]");
	let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
	files.into_iter().any(|file| {
		fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == socket.as_str())
	})
}

/// The inode of the socket with this local address, in the form of /proc/net/tcp (`man 5 proc`).
fn socket_of(table: &str, local: SocketAddrV4) -> Option<&str> {
	// The address is written as a number of the machine's own byte order.
	let address = u32::from_ne_bytes(local.ip().octets());
	let local = format!("{address:08X}:{:04X}", local.port());
	table.lines().find_map(|line| {
		let mut fields = line.split_whitespace();
		(fields.nth(1)? == local).then(|| fields.nth(7)).flatten()
	})
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
		let proxy = Proxy::before("server", &format!("http://{}", server.local_addr()?)).await?;
		let asking = async {
			let mut stream = TcpStream::connect(proxy.address).await?;
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
		assert!(proxy.recorded().iter().any(|stream| stream.ends_with(b"yes")));
		assert_eq!(proxy.bodies_of("POST /x"), [b"hi".to_vec()]);
		assert!(proxy.bodies_of("POST /y").is_empty());
		Ok(())
	}

	async fn ask(address: SocketAddr, request: &[u8]) -> Vec<u8> {
		let mut answer = Vec::new();
		let Ok(mut stream) = TcpStream::connect(address).await else { return answer };
		let _ = stream.write_all(request).await;
		let _ = stream.read_to_end(&mut answer).await;
		answer
	}

	async fn server(says: &'static [u8]) -> anyhow::Result<String> {
		let listener = TcpListener::bind("127.0.0.1:0").await?;
		let url = format!("http://{}", listener.local_addr()?);
		tokio::spawn(async move {
			while let Ok((mut stream, _)) = listener.accept().await {
				let mut asked = [0; 64];
				if stream.read(&mut asked).await.is_ok_and(|count| count > 0) {
					let _ = stream.write_all(says).await;
				}
			}
		});
		Ok(url)
	}

	#[tokio::test]
	async fn faults_keep_out_whom_they_name_and_healing_ends_them() -> anyhow::Result<()> {
		let proxy = Proxy::before("server", &server(b"first").await?).await?;
		assert_eq!(ask(proxy.address, b"GET /a").await, b"first");
		proxy.cut();
		assert_eq!(ask(proxy.address, b"GET /a").await, b"");
		proxy.heal();
		proxy.refuse("GET /b");
		assert_eq!(ask(proxy.address, b"GET /b").await, b"");
		assert_eq!(ask(proxy.address, b"GET /a").await, b"first");
		proxy.heal();
		// Another process is cut off, then this one.
		proxy.cut_from(&[1]);
		assert_eq!(ask(proxy.address, b"GET /b").await, b"first");
		proxy.cut_from(&[std::process::id()]);
		assert_eq!(ask(proxy.address, b"GET /b").await, b"");
		proxy.heal();
		proxy.lead_to(&server(b"second").await?)?;
		assert_eq!(ask(proxy.address, b"GET /b").await, b"second");
		Ok(())
	}

	#[tokio::test]
	async fn a_fault_closes_the_connections_that_there_are() -> anyhow::Result<()> {
		let listener = TcpListener::bind("127.0.0.1:0").await?;
		let proxy = Proxy::before("server", &listener.local_addr()?.to_string()).await?;
		let mut stream = TcpStream::connect(proxy.address).await?;
		stream.write_all(b"x").await?;
		let (mut server, _) = listener.accept().await?;
		assert_eq!(server.read_u8().await?, b'x');
		proxy.cut();
		assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
		assert_eq!(server.read(&mut [0]).await.unwrap_or(0), 0);
		Ok(())
	}

	#[test]
	fn a_socket_is_found_by_its_local_address() {
		let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 4242 1";
		let at = |text: &str| text.parse().ok().and_then(|at| socket_of(table, at));
		assert_eq!(at("127.0.0.1:8080"), Some("4242"));
		assert_eq!(at("127.0.0.1:8081"), None);
	}
}
