//! Serves connections, so many at once. One more ends the oldest of those that still send, or wait
//! for nothing: idle sockets keep nobody out, and a call that waits for its commit is not ended by
//! them. Only if all wait for answers the oldest of these ends.

use crate::{limits, sync::lock};
use axum::{body::Body, extract::Request, serve::Listener, Router};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
	collections::BTreeMap,
	pin::Pin,
	sync::{Arc, Mutex},
	task::{Context, Poll},
	time::Duration,
};
use tokio::{net::TcpListener, sync::Notify};
use tower_service::Service;

/// What a server's connections may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
	/// How many there are at once.
	pub connections_max: usize,
	/// How long the head of a request may take, from when there is none, in milliseconds.
	pub head_wait_ms_max: u64,
}

impl Default for ConnectionLimits {
	fn default() -> Self {
		Self {
			connections_max: limits::CONNECTIONS_MAX,
			head_wait_ms_max: limits::HEAD_WAIT_MS_MAX,
		}
	}
}

/// Serves `routes` for ever.
pub async fn serve(mut listener: TcpListener, routes: Router, limits: ConnectionLimits) {
	let open = Arc::new(Open::default());
	let mut http = hyper::server::conn::http1::Builder::new();
	http.timer(TokioTimer::new())
		.header_read_timeout(Duration::from_millis(limits.head_wait_ms_max))
		.max_buf_size(crate::limits::HEAD_BYTES_MAX);
	loop {
		// This waits for a moment when the system has no more of them.
		let (stream, _) = Listener::accept(&mut listener).await;
		let (http, routes) = (http.clone(), routes.clone());
		let (place, has_to_end) = open.enter(limits.connections_max);
		let place = Arc::new(place);
		let ending = Ending(has_to_end.clone());
		let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
			request.extensions_mut().insert(ending.clone());
			let (mut routes, place) = (routes.clone(), place.clone());
			let is_whole = request.body().is_end_stream();
			place.turn_to(if is_whole { Doing::WaitingForAnswer } else { Doing::Sending });
			let watched = |body| Body::new(Watched { body, place: place.clone() });
			let answering = routes.call(request.map(watched));
			async move {
				let answer = answering.await;
				// It is the caller's turn to take it.
				place.turn_to(Doing::Sending);
				answer
			}
		});
		tokio::spawn(async move {
			tokio::select! {
				_ = http.serve_connection(TokioIo::new(stream), service) => (),
				() = has_to_end.notified() => (),
			}
		});
	}
}

/// Who ends first, if one has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
	Sending,
	WaitingForAnswer,
}

/// What a connection does, and a number that grows with each change: the oldest comes first.
type Key = (Doing, u64);

type HasToEnd = Arc<Notify>;

/// Ends a request's connection, for who does not take what it asked for. An extension of the request.
#[derive(Clone, Default)]
pub struct Ending(HasToEnd);

impl Ending {
	pub fn end(&self) {
		self.0.notify_one();
	}

	#[cfg(test)]
	pub async fn ended(&self) {
		self.0.notified().await;
	}
}

#[derive(Default)]
struct Open(Mutex<Connections>);

#[derive(Default)]
struct Connections {
	next: u64,
	by_age: BTreeMap<Key, HasToEnd>,
}

impl Connections {
	fn key(&mut self, doing: Doing) -> Key {
		self.next += 1;
		(doing, self.next)
	}
}

impl Open {
	/// A place for a connection, and what tells it to make place itself.
	fn enter(self: &Arc<Self>, connections_max: usize) -> (Place, HasToEnd) {
		let mut connections = lock(&self.0);
		while connections.by_age.len() >= connections_max {
			let Some((_, oldest)) = connections.by_age.pop_first() else { break };
			oldest.notify_one();
		}
		let (key, has_to_end) = (connections.key(Doing::Sending), HasToEnd::default());
		connections.by_age.insert(key, has_to_end.clone());
		(Place { open: self.clone(), key: Mutex::new(key) }, has_to_end)
	}
}

/// A connection's, until it is dropped.
struct Place {
	open: Arc<Open>,
	key: Mutex<Key>,
}

impl Place {
	fn turn_to(&self, doing: Doing) {
		let (mut connections, mut key) = (lock(&self.open.0), lock(&self.key));
		// It may have been ended meanwhile.
		if let Some(has_to_end) = connections.by_age.remove(&*key) {
			*key = connections.key(doing);
			connections.by_age.insert(*key, has_to_end);
		}
	}
}

impl Drop for Place {
	fn drop(&mut self) {
		let (mut connections, key) = (lock(&self.open.0), lock(&self.key));
		connections.by_age.remove(&*key);
	}
}

/// A request's body, which says when it is whole.
struct Watched {
	body: Incoming,
	place: Arc<Place>,
}

impl HttpBody for Watched {
	type Data = axum::body::Bytes;
	type Error = hyper::Error;

	fn poll_frame(
		mut self: Pin<&mut Self>,
		context: &mut Context<'_>,
	) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
		let frame = Pin::new(&mut self.body).poll_frame(context);
		if matches!(frame, Poll::Ready(None)) {
			self.place.turn_to(Doing::WaitingForAnswer);
		}
		frame
	}

	fn is_end_stream(&self) -> bool {
		self.body.is_end_stream()
	}

	fn size_hint(&self) -> SizeHint {
		self.body.size_hint()
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use axum::{
		routing::{get, post},
		Extension,
	};
	use std::net::SocketAddr;
	use tokio::{
		io::{AsyncReadExt, AsyncWriteExt},
		net::TcpStream,
	};

	/// Far more than anything here takes.
	const PATIENCE: Duration = Duration::from_secs(60);
	const PLACES: usize = 8;

	struct Server {
		address: SocketAddr,
		/// Lets `POST /commits` be answered.
		commit: Arc<Notify>,
		/// Told when `POST /commits` waits.
		waits: Arc<Notify>,
		task: tokio::task::JoinHandle<()>,
	}

	impl Drop for Server {
		fn drop(&mut self) {
			self.task.abort();
		}
	}

	impl Server {
		async fn start(head_wait_ms_max: u64) -> Self {
			let (commit, waits) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
			let (committed, waiting) = (commit.clone(), waits.clone());
			let commits = move |_: axum::body::Bytes| async move {
				waiting.notify_one();
				committed.notified().await;
				"committed"
			};
			let routes = Router::new()
				.route("/", get(|| async { "here" }))
				.route("/commits", post(commits))
				.route("/ends", get(ends));
			let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
			let address = listener.local_addr().unwrap();
			let limits = ConnectionLimits { connections_max: PLACES, head_wait_ms_max };
			let task = tokio::spawn(serve(listener, routes, limits));
			Self { address, commit, waits, task }
		}

		async fn opens(&self, sent: &str) -> TcpStream {
			let mut stream = TcpStream::connect(self.address).await.unwrap();
			stream.write_all(sent.as_bytes()).await.unwrap();
			stream
		}

		/// Opens a socket and is silent, or announces a body and sends none, in turns.
		async fn idler(&self, number: usize) -> TcpStream {
			let announced = "POST /commits HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n";
			self.opens(["", announced][number % 2]).await
		}
	}

	/// Ends the connection of its request, and never answers.
	async fn ends(Extension(ending): Extension<Ending>) -> &'static str {
		ending.end();
		std::future::pending().await
	}

	/// All that comes until the connection ends.
	async fn rest(mut stream: TcpStream) -> String {
		let mut text = Vec::new();
		let reading = stream.read_to_end(&mut text);
		// What was cut off may end with an error.
		let _ = tokio::time::timeout(PATIENCE, reading).await.expect("it ends");
		String::from_utf8(text).unwrap()
	}

	const ASKS: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
	const COMMITS: &str =
		"POST /commits HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody";

	#[tokio::test]
	async fn a_silent_connection_ends_whether_it_is_new_or_was_answered() {
		let server = Server::start(50).await;
		assert_eq!(rest(server.opens("").await).await, "");
		assert!(!rest(server.opens("GET / HT").await).await.contains("here"));
		let answered = rest(server.opens("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
		assert!(answered.ends_with("here"), "{answered}");
	}

	#[tokio::test]
	async fn idlers_keep_nobody_out_and_end_no_call_that_waits() {
		let server = Server::start(3_600_000).await;
		let call = server.opens(COMMITS).await;
		tokio::time::timeout(PATIENCE, server.waits.notified()).await.unwrap();
		let mut idlers = Vec::new();
		for number in 0..4 * PLACES {
			idlers.push(server.idler(number).await);
			if number % PLACES == 0 {
				assert!(rest(server.opens(ASKS).await).await.ends_with("here"));
			}
		}
		// The oldest made place for the newer ones.
		assert_eq!(rest(idlers.remove(0)).await, "");
		server.commit.notify_one();
		let answered = rest(call).await;
		assert!(answered.ends_with("committed"), "{answered}");
	}

	#[tokio::test]
	async fn who_answers_a_request_can_end_its_connection_and_no_other() {
		let server = Server::start(3_600_000).await;
		let call = server.opens(COMMITS).await;
		tokio::time::timeout(PATIENCE, server.waits.notified()).await.unwrap();
		let ended = server.opens("GET /ends HTTP/1.1\r\nhost: x\r\n\r\n").await;
		assert_eq!(rest(ended).await, "", "it is cut off, not refused");
		server.commit.notify_one();
		assert!(rest(call).await.ends_with("committed"));
	}

	#[tokio::test]
	async fn among_calls_that_wait_the_oldest_makes_place() {
		let server = Server::start(3_600_000).await;
		let mut calls = Vec::new();
		for _ in 0..PLACES {
			calls.push(server.opens(COMMITS).await);
			tokio::time::timeout(PATIENCE, server.waits.notified()).await.unwrap();
		}
		assert!(rest(server.opens(ASKS).await).await.ends_with("here"));
		assert_eq!(rest(calls.remove(0)).await, "");
		server.commit.notify_waiters();
		for call in calls {
			assert!(rest(call).await.ends_with("committed"));
		}
	}
}
