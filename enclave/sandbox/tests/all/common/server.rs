//! A small HTTP server on a free loopback port, which ends with the test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// A request as it came over the wire.
#[derive(Clone, Debug, Default)]
pub struct Seen {
	pub method: String,
	pub path: String,
	/// Names in lower case.
	pub headers: BTreeMap<String, String>,
	pub body: String,
}

pub type Answer = Arc<dyn Fn(&Seen) -> Vec<u8> + Send + Sync>;

pub struct Server {
	pub address: SocketAddr,
	pub seen: Arc<Mutex<Vec<Seen>>>,
	task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
	fn drop(&mut self) {
		self.task.abort();
	}
}

impl Server {
	pub async fn start(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
		Self::start_with(answer, None).await
	}

	pub async fn start_with(
		answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static,
		tls: Option<tokio_rustls::TlsAcceptor>,
	) -> Self {
		let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
		let address = listener.local_addr().unwrap();
		let seen = Arc::<Mutex<Vec<Seen>>>::default();
		let (log, answer) = (seen.clone(), Arc::new(answer) as Answer);
		let task = tokio::spawn(async move {
			let mut connections = tokio::task::JoinSet::new();
			while let Ok((stream, _)) = listener.accept().await {
				let (log, answer, tls) = (log.clone(), answer.clone(), tls.clone());
				connections.spawn(async move {
					match tls {
						None => serve(stream, log, answer).await,
						Some(tls) => {
							if let Ok(stream) = tls.accept(stream).await {
								serve(stream, log, answer).await;
							}
						}
					}
				});
			}
		});
		Self { address, seen, task }
	}

	/// `http://127.0.0.1:port` and a path.
	pub fn url(&self, path: &str) -> String {
		format!("http://{}{path}", self.address)
	}

	/// As the dev preset would name it.
	pub fn authority(&self) -> String {
		self.address.to_string()
	}

	pub fn requests(&self) -> Vec<Seen> {
		self.seen.lock().unwrap().clone()
	}
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
	mut stream: S,
	log: Arc<Mutex<Vec<Seen>>>,
	answer: Answer,
) {
	let mut bytes = Vec::new();
	let head_end = loop {
		if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
			break at;
		}
		if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
			return;
		}
	};
	let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
	let mut lines = head.lines();
	let mut first = lines.next().unwrap_or_default().split(' ');
	let mut seen = Seen {
		method: first.next().unwrap_or_default().to_owned(),
		path: first.next().unwrap_or_default().to_owned(),
		..Seen::default()
	};
	for line in lines {
		if let Some((name, value)) = line.split_once(": ") {
			seen.headers.insert(name.to_ascii_lowercase(), value.to_owned());
		}
	}
	let length: usize =
		seen.headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
	while bytes.len() < head_end + 4 + length {
		if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
			return;
		}
	}
	seen.body = String::from_utf8_lossy(&bytes[head_end + 4..]).into_owned();
	let answer = answer(&seen);
	log.lock().unwrap().push(seen);
	let _ = stream.write_all(&answer).await;
	let _ = stream.shutdown().await;
}

pub fn ok(body: &str) -> Vec<u8> {
	format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
		.into_bytes()
}

pub fn status(status: u16) -> Vec<u8> {
	format!("HTTP/1.1 {status} Status\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
		.into_bytes()
}

pub fn redirect(status: u16, to: &str) -> Vec<u8> {
	format!("HTTP/1.1 {status} Redirect\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into_bytes()
}
